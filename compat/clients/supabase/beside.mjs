#!/usr/bin/env node
// Supabase's own storage server (`theirs`) and Longshore (`ours`) on one database and on one directory of files.
// What one writes the other lists, reads, moves, copies and deletes, and to one question both give one answer.
// Run by compat/suites/supabase-beside, which starts both.
import { execFileSync } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { readdirSync } from "node:fs";
import { StorageClient } from "@supabase/storage-js";
import * as tus from "tus-js-client";
import { report, same, token } from "../report.mjs";

const env = process.env;
const sub = randomUUID();
const tokens = {
  service: token({ role: "service_role" }),
  user: token({ role: "authenticated", sub }),
  stranger: token({ role: "authenticated", sub: randomUUID() }),
  anon: token({ role: "anon" }),
  bad: `${token({ role: "anon" }).slice(0, -6)}AAAAAA`,
};
const server = (name, base) => {
  const as = (who) => new StorageClient(base, { Authorization: `Bearer ${tokens[who]}` });
  return { name, base, as, of: (bucket, who = "service") => as(who).from(bucket) };
};
const theirs = server("theirs", env.THEIR_ENDPOINT);
const ours = server("ours", `${env.REST_ENDPOINT}/storage/v1`);
const ways = [[theirs, ours], [ours, theirs]];
const { group: named, end } = report("supabase-beside");
/** What was found to differ in the group that is being run. */
let differing = [];
let compared = 0;
/** A group fails at its end with all that differs. */
const group = (what, check) => named(what, async () => {
  [differing, compared] = [[], 0];
  await check();
  if (env.BESIDE_VERBOSE) differing.forEach((line) => console.error(`  ${line.slice(0, 700)}`));
  if (differing.length) throw new Error(`${differing.length} of ${compared} differ: ${differing[0]}`);
});

const sql = (text) => execFileSync(`${env.PGBIN}/psql`, ["-qAtX", "-h", "127.0.0.1", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", text], { stdio: "pipe" }).toString().trim();
const row = (bucket, name) => JSON.parse(sql(`select row_to_json(o) from storage.objects o where bucket_id = '${bucket}' and name = '${name.replaceAll("'", "''")}'`) || "null");
/** The files where all versions of an object are. */
const files = (bucket, name) => {
  try { return readdirSync(`${env.THEIR_FILES}/stub/stub/${bucket}/${name}`); } catch { return []; }
};

/** Waits until what is displaced is gone, which both do behind their answers. */
async function until(what, so) {
  for (let left = 100; left > 0; left -= 1) {
    if (await so()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${what} does not come to be`);
}

/** The data of an answer that must have succeeded. */
async function ok(answer) {
  const { data, error } = await answer;
  if (error) throw new Error(`refused: ${error.code} ${error.message}`);
  return data;
}
const bytesOf = async (answer) => Buffer.from(await (await ok(answer)).arrayBuffer());

const SHOWN = ["content-type", "etag", "cache-control", "last-modified", "accept-ranges", "x-robots-tag", "content-range", "content-disposition"];
/** What one server answers: status, headers, and the body, as JSON where it is JSON. */
async function ask(server, { who, method = "GET", path, headers = {}, json, body }) {
  const all = { ...headers };
  if (who) all.authorization = `Bearer ${tokens[who]}`;
  if (json !== undefined) all["content-type"] = "application/json";
  const answer = await fetch(server.base + path, { method, headers: all, body: json === undefined ? body : JSON.stringify(json) });
  const text = Buffer.from(await answer.arrayBuffer()).toString("latin1");
  let parsed = text;
  try { parsed = JSON.parse(text); } catch { /* bytes */ }
  // What an error comes with besides its body is nobody's business.
  const kept = answer.status < 400 ? Object.fromEntries(SHOWN.map((name) => [name, answer.headers.get(name)]).filter(([, value]) => value !== null)) : {};
  if (kept["content-type"]?.startsWith("application/json")) kept["content-type"] = "application/json";
  return { status: answer.status, headers: kept, body: parsed };
}

/** Instants are one where they are this close: a row is written a moment behind its file. */
const MOMENT = 1500;
const isTime = (value) => typeof value === "string" && /^\d{4}-\d\d-\d\dT/.test(value);
/** Where two values differ, by path. */
function deltas(got, wanted, path) {
  const isNode = (value) => value !== null && typeof value === "object";
  if (isNode(got) && isNode(wanted)) {
    return [...new Set([...Object.keys(wanted), ...Object.keys(got)])].flatMap((name) => deltas(got[name], wanted[name], `${path}.${name}`));
  }
  const close = isTime(got) && isTime(wanted) && Math.abs(new Date(got) - new Date(wanted)) < MOMENT;
  return got === wanted || close ? [] : [`${path} ${JSON.stringify(got)}, theirs ${JSON.stringify(wanted)}`];
}
/** Notes where what ours says differs from what theirs says. */
function agree(what, got, wanted) {
  compared += 1;
  const found = deltas(got, wanted, "");
  if (found.length) differing.push(`${what}: ${found.join("; ")}`);
}
/** Asks both the same, and wants the same answer. */
async function alike(questions, mask = (answer) => answer) {
  for (const question of questions) {
    const asked = JSON.stringify(question.headers ?? question.json ?? "");
    const [wanted, got] = [mask(await ask(theirs, question)), mask(await ask(ours, question))];
    agree(`${question.who ?? "nobody"} ${question.method ?? "GET"} ${question.path} ${asked}`, got, wanted);
  }
}
const masked = (value) => JSON.parse(JSON.stringify(value)
  .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "UUID")
  .replace(/\d{4}-\d\d-\d\d[T ][\d:.]+(Z|\+00:00)/g, "TIME").replace(/token=[\w.-]+/g, "token=T").replace(/"token":"[\w.-]+"/g, '"token":"T"'));
/** The ETag of what came in parts is what S3 makes it here, and that of the whole in a directory of theirs. */
const untagged = (value) => JSON.parse(JSON.stringify(value).replace(/\\"[0-9a-f]{32}(-\d+)?\\"/g, "TAG"));

const run = Date.now().toString(36);
const [pub, priv, other] = ["pub", "priv", "other"].map((name) => `${name}-${run}`);
const body = randomBytes(300_000);

await group("buckets: one makes and changes, both show", async () => {
  await ok(theirs.as("service").createBucket(pub, { public: true, fileSizeLimit: "1MB", allowedMimeTypes: ["image/*", "text/plain"] }));
  await ok(ours.as("service").createBucket(priv, { public: false }));
  await ok(theirs.as("service").createBucket(other));
  for (const [one, two] of ways) {
    await ok(one.as("service").updateBucket(other, { public: false, fileSizeLimit: 500_000 }));
    await until("a limit", async () => (await ok(two.as("service").getBucket(other))).file_size_limit === 500_000);
    await ok(two.as("service").updateBucket(other, { public: false, fileSizeLimit: null, allowedMimeTypes: null }));
    await until("no limit", async () => (await ok(one.as("service").getBucket(other))).file_size_limit === null);
  }
  const of = (path) => ({ who: "service", path });
  await alike([...["", "/", `/${pub}`, `/${priv}`, `/${other}`, "/none", `?search=${run}&limit=2&sortColumn=name&sortOrder=desc`, "?limit=0",
    "?sortColumn=size"].map((rest) => of(`/bucket${rest}`)), { who: "user", path: "/bucket" }, { path: "/bucket" }, { who: "bad", path: "/bucket" }]);
});

await group("upload: one writes in each form, both read, list and tell the same", async () => {
  for (const [one] of ways) {
    const to = one.of(priv);
    await ok(to.upload(`w/${one.name}/text.txt`, "hello", { contentType: "text/plain;charset=UTF-8", cacheControl: "60", metadata: { a: "1", deep: { b: [2] } } }));
    await ok(to.upload(`w/${one.name}/page.html`, "<p>", { contentType: "text/html" }));
    await ok(to.upload(`w/${one.name}/buffer.bin`, body));
    await ok(to.upload(`w/${one.name}/blob.bin`, new Blob([body], { type: "application/x-blob" }), { metadata: { b: "ünï" } }));
    await ok(to.upload(`w/${one.name}/empty`, "", { contentType: "text/plain" }));
    await ok(to.upload(`w/${one.name}/a b&c(1)!.txt`, "odd"));
    await ok(to.upload(`w/${one.name}/text.txt/beneath`, "beneath a file"));
    await ok(one.of(pub).upload(`p-${one.name}.txt`, "public", { contentType: "text/plain" }));
    const questions = [];
    for (const name of ["text.txt", "page.html", "buffer.bin", "blob.bin", "empty", "a b&c(1)!.txt", "text.txt/beneath", "none"]) {
      const at = `${priv}/w/${one.name}/${encodeURI(name)}`;
      for (const route of ["/object", "/object/authenticated", "/object/info", "/object/info/authenticated"]) questions.push({ who: "service", path: `${route}/${at}` });
      if (name !== "none") for (const range of ["bytes=1-2", "bytes=-2", "bytes=1-", "bytes=400000-", "bytes=0-1,3-4", "lines=1-2"]) questions.push({ who: "service", path: `/object/${at}`, headers: { range } });
      questions.push({ who: "service", method: "HEAD", path: `/object/${at}` }, { who: "service", path: `/object/${at}?download` }, { who: "service", path: `/object/${at}?download=x%20y%C3%BC.txt` });
    }
    await alike(questions);
  }
});

await group("rows: what each writes of the same object is the same", async () => {
  for (const name of ["text.txt", "page.html", "buffer.bin", "blob.bin", "empty", "text.txt/beneath"]) {
    const [wanted, got] = [theirs, ours].map((one) => {
      const { path_tokens: _, name: __, ...rest } = row(priv, `w/${one.name}/${name}`);
      same(Math.abs(new Date(rest.metadata.lastModified) - new Date(rest.created_at)) < MOMENT, true, "lastModified");
      return masked(rest);
    });
    agree(`row of ${name}`, got, wanted);
  }
});

await group("overwrite: who writes anew frees what it displaces", async () => {
  for (const [one, two] of ways) {
    const key = `over/${one.name}.txt`;
    await ok(one.of(priv).upload(key, "first", { contentType: "text/plain", metadata: { n: 1 } }));
    const first = row(priv, key);
    for (const [at, writer] of [two, one, two].entries()) {
      await ok(writer.of(priv).upload(key, `body ${at}`, { upsert: true, contentType: "text/csv", cacheControl: `${at}` }));
      for (const reader of [one, two]) same((await bytesOf(reader.of(priv).download(key))).toString(), `body ${at}`, `bytes by ${reader.name}`);
      await until("one file", async () => files(priv, key).length === 1);
    }
    const last = row(priv, key);
    same([last.id, last.created_at, last.user_metadata], [first.id, first.created_at, {}], "what stays");
    await alike([{ who: "service", path: `/object/info/${priv}/${key}` }, { who: "service", path: `/object/${priv}/${key}` }]);
  }
});

await group("move and copy: one what the other wrote", async () => {
  for (const [one, two] of ways) {
    const key = `mc/${one.name}.bin`;
    await ok(one.of(priv).upload(key, body, { contentType: "application/x-mc", cacheControl: "77", metadata: { k: "v" } }));
    await ok(two.of(priv).copy(key, `${key}.copy`));
    await ok(two.of(priv).copy(key, `${key}.across`, { destinationBucket: other }));
    await ok(two.of(priv).move(key, `${key}.moved`));
    await until("nothing at the source", async () => files(priv, key).length === 0);
    await ok(one.of(other).move(`${key}.across`, `${key}.back`, { destinationBucket: priv }));
    for (const [bucket, name] of [[priv, `${key}.copy`], [priv, `${key}.moved`], [priv, `${key}.back`]]) {
      for (const reader of [one, two]) same(await bytesOf(reader.of(bucket).download(name)), body, `bytes of ${name} by ${reader.name}`);
      await alike(["/object", "/object/info"].map((route) => ({ who: "service", path: `${route}/${bucket}/${name}` })));
      const { user_metadata, metadata } = row(bucket, name);
      same([user_metadata, metadata.mimetype, metadata.cacheControl, metadata.size], [{ k: "v" }, "application/x-mc", "max-age=77", body.length], `row of ${name}`);
    }
  }
  // The answers, and the rows that were left.
  const shown = [];
  for (const one of [theirs, ours]) {
    await ok(one.of(priv).upload(`mv/${one.name}/a`, "a", { metadata: { k: 1 } }));
    const answers = [];
    for (const [path, json] of [["copy", { sourceKey: "a", destinationKey: "b" }], ["copy", { sourceKey: "a", destinationKey: "b" }],
      ["copy", { sourceKey: "none", destinationKey: "c" }], ["copy", { sourceKey: "a", destinationKey: "c", destinationBucket: "none" }],
      ["copy", { sourceKey: "a", destinationKey: "d", copyMetadata: false, metadata: { cacheControl: "max-age=5", mimetype: "text/x" } }],
      ["move", { sourceKey: "a", destinationKey: "b" }], ["move", { sourceKey: "a", destinationKey: "a" }],
      ["move", { sourceKey: "none", destinationKey: "c" }], ["move", { sourceKey: "a", destinationKey: "e" }]]) {
      const keys = { sourceKey: `mv/${one.name}/${json.sourceKey}`, destinationKey: `mv/${one.name}/${json.destinationKey}` };
      const { status, body: said } = await ask(one, { who: "service", method: "POST", path: `/object/${path}`, json: { bucketId: priv, ...json, ...keys } });
      answers.push([status, said]);
    }
    // Nobody said what its writer keeps with it: theirs writes down that, ours that there is nothing.
    answers.filter(([, said]) => said.user_metadata === null).forEach(([, said]) => { said.user_metadata = {}; });
    const rows = ["b", "d", "e"].map((name) => row(priv, `mv/${one.name}/${name}`)).map((found) => ({ ...found, user_metadata: found.user_metadata ?? {} }));
    shown.push(JSON.parse(JSON.stringify(masked([answers, rows])).replaceAll(`mv/${one.name}`, "mv").replaceAll(`"${one.name}"`, '"x"')));
  }
  const [wanted, got] = shown;
  agree("answers and rows", got, wanted);
});

await group("lists: both kinds, each order, pages", async () => {
  for (const [at, name] of ["b.txt", "A.txt", "c/1.txt", "c/d/2.txt", "c-d", "c.txt", "Z", "e f", "_x", "n/.emptyFolderPlaceholder"].entries()) {
    await ok([theirs, ours][at % 2].of(other).upload(`l/${name}`, name.endsWith("Placeholder") ? "" : name));
  }
  const v1 = (json) => ({ who: "service", method: "POST", path: `/object/list/${other}`, json });
  const v2 = (json) => ({ who: "service", method: "POST", path: `/object/list-v2/${other}`, json });
  const orders = ["name", "updated_at", "created_at", "last_accessed_at"].flatMap((column) => ["asc", "desc"].map((order) => ({ column, order })));
  await alike([
    ...["", "l", "l/", "l/c", "l/c/", "none", "l/c.txt"].flatMap((prefix) => [v1({ prefix }), v2({ prefix }), v2({ prefix, with_delimiter: true })]),
    // Downwards by name theirs leaves folders out that nothing follows but files.
    ...orders.filter(({ column, order }) => column !== "name" || order === "asc").flatMap((sortBy) => [v1({ prefix: "l", sortBy }), v1({ prefix: "l", sortBy, limit: 3, offset: 2 })]),
    ...orders.slice(0, 6).flatMap((sortBy) => [v2({ prefix: "l/", sortBy }), v2({ prefix: "l/", sortBy, with_delimiter: true })]),
    v1({ prefix: "l", search: "c" }), v1({ prefix: "l", search: "c/" }), v1({ prefix: "l", search: "c/d/2" }), v1({ prefix: "", search: "l/C" }), v1({ prefix: "l", search: "x" }), v1({ prefix: "l", limit: 0 }), v1({}), v1({ prefix: "l", sortBy: { column: "size" } }),
    v2({ limit: 2000 }), v2({ cursor: "x" }), { ...v1({ prefix: "" }), path: "/object/list/none" }, { ...v2({}), path: "/object/list-v2/none" },
  ]);
  for (const sortBy of orders.slice(0, 6)) {
    const pages = await Promise.all([theirs, ours].map(async (one) => {
      const all = [];
      for (let cursor; ;) {
        const page = await ok(one.of(other).listV2({ prefix: "l/", with_delimiter: true, limit: 2, sortBy, cursor }));
        all.push([page.folders, page.objects]);
        if (!page.hasNext) return all;
        cursor = page.nextCursor;
      }
    }));
    agree(`pages by ${sortBy.column} ${sortBy.order}`, pages[1], pages[0]);
  }
});

await group("refusals: the same codes, texts and statuses", async () => {
  const put = (path, headers = {}, more = {}) => ({ who: "service", method: "POST", path: `/object/${path}`, headers: { "content-type": "text/plain", ...headers }, body: "x", ...more });
  const post = (path, json, who = "service") => ({ who, method: "POST", path, json });
  await alike([
    put(`${priv}/w/theirs/text.txt`), put("none/a"), put(`${priv}/a{b`), put(`${priv}/%E4%BD%A0`), put(`${pub}/a`, { "content-type": "application/zip" }),
    put(`${pub}/big`, {}, { body: "x".repeat(1_000_001) }), put(`${priv}/a`, { "content-type": "nonsense" }), put(`${priv}/a`, {}, { who: "anon" }),
    put(`${priv}/a`, {}, { who: "bad" }), put(`${priv}/a`, {}, { who: undefined }), put(`${priv}/a`, { "x-robots-tag": "maybe" }),
    post("/bucket", { name: pub }), post("/bucket", { name: "a/b" }), post("/bucket", {}), post("/bucket", { name: `x-${run}` }, "anon"), post("/bucket", { name: `x-${run}`, file_size_limit: "9 apples" }),
    post("/bucket", { name: `x-${run}`, allowed_mime_types: ["nonsense"] }), post("/bucket", { name: "a".repeat(101) }),
    { who: "service", method: "DELETE", path: `/bucket/${priv}` }, { who: "service", method: "DELETE", path: "/bucket/none" },
    { who: "service", method: "PUT", path: "/bucket/none", json: { public: true } }, { who: "anon", method: "PUT", path: `/bucket/${priv}`, json: { public: true } },
    post("/bucket/none/empty"), post(`/bucket/${priv}/empty`, undefined, "anon"),
    { who: "service", method: "DELETE", path: `/object/${priv}/none` }, { who: "anon", method: "DELETE", path: `/object/${priv}/w/theirs/text.txt` },
    { who: "service", method: "DELETE", path: `/object/${priv}`, json: { prefixes: [] } }, { who: "service", method: "DELETE", path: `/object/${priv}`, json: { prefixes: ["none"] } },
    { who: "service", method: "DELETE", path: `/object/${priv}`, json: {} }, { who: "anon", method: "DELETE", path: `/object/${priv}`, json: { prefixes: ["w/theirs/text.txt"] } },
    post(`/object/sign/${priv}/none`, { expiresIn: 60 }), post(`/object/sign/${priv}/w/theirs/text.txt`, {}), post(`/object/sign/${priv}/w/theirs/text.txt`, { expiresIn: 0 }), post(`/object/sign/${priv}`, { expiresIn: 60, paths: [] }),
    post(`/object/upload/sign/${priv}/w/theirs/text.txt`, {}), post("/object/upload/sign/none/a", {}), post(`/object/upload/sign/${priv}/a`, {}, "anon"),
    { path: `/object/sign/${priv}/w/theirs/text.txt` }, { path: `/object/sign/${priv}/w/theirs/text.txt?token=x` }, { path: `/object/sign/${priv}/w/theirs/text.txt?token=${tokens.anon}` },
    { method: "PUT", path: `/object/upload/sign/${priv}/a?token=${tokens.anon}`, body: "x" }, { method: "PUT", path: `/object/upload/sign/${priv}/a`, body: "x" },
    { path: `/object/public/${priv}/w/theirs/text.txt` }, { path: `/object/public/${pub}/none` }, { path: `/object/${priv}/w/theirs/text.txt` }, { path: `/object/${pub}/p-ours.txt` }, { path: `/object/public/${pub}/p-theirs.txt` },
    { path: `/object/info/public/${pub}/p-ours.txt` }, { path: `/object/info/public/${priv}/w/theirs/text.txt` }, { path: `/object/authenticated/${priv}/w/theirs/text.txt` }, { who: "anon", path: `/object/authenticated/${priv}/w/theirs/text.txt` },
    { who: "bad", path: `/object/authenticated/${priv}/w/theirs/text.txt` }, { who: "bad", path: `/object/public/${pub}/p-ours.txt` }, { who: "bad", path: `/object/${pub}/p-ours.txt` },
    { who: "user", path: `/object/info/${priv}/w/theirs/text.txt` }, { method: "HEAD", path: `/object/public/${pub}/p-ours.txt` }, { method: "HEAD", path: `/object/public/${priv}/p-ours.txt` },
  ], (answer) => ({ ...answer, body: masked(answer.body) }));
});

await group("conditions: entity tags as they are sent", async () => {
  for (const [one] of ways) {
    const etag = row(priv, `w/${one.name}/buffer.bin`).metadata.eTag;
    const at = { who: "service", path: `/object/${priv}/w/${one.name}/buffer.bin` };
    // What a 304 tells of bytes that it has not, HTTP leaves open.
    const told = ({ status, headers: { "content-type": _, "x-robots-tag": __, ...headers }, body: text }) => ({ status, headers, body: text });
    await alike([{ ...at, headers: { "if-none-match": etag } }, { ...at, headers: { "if-none-match": '"x"' } },
      { ...at, headers: { "if-modified-since": "Thu, 01 Jan 2037 00:00:00 GMT" } }, { ...at, headers: { "if-modified-since": "Thu, 01 Jan 2004 00:00:00 GMT" } }], told);
  }
});

await group("signed addresses: what one signs the other takes", async () => {
  for (const [one, two] of ways) {
    const at = (url) => url.replace(one.base, two.base);
    const { signedUrl } = await ok(one.of(priv).createSignedUrl("w/theirs/text.txt", 60, { download: "n.txt" }));
    const answer = await fetch(at(signedUrl));
    same([answer.status, await answer.text(), answer.headers.get("content-disposition")], [200, "hello", "attachment; filename=n.txt; filename*=UTF-8''n.txt"], "read");
    same((await fetch(at(signedUrl).replace("text.txt", "page.html"))).status, 400, "another");
    const odd = await ok(one.of(priv).createSignedUrl("w/ours/a b&c(1)!.txt", 60));
    same(await (await fetch(at(odd.signedUrl))).text(), "odd", "odd name");
    const many = await ok(one.of(priv).createSignedUrls(["w/ours/text.txt", "none"], 60));
    same([await (await fetch(at(many[0].signedUrl))).text(), many[1].error], ["hello", "Either the object does not exist or you do not have access to it"], "many");
    const up = await ok(one.of(priv).createSignedUploadUrl(`s/${one.name}.txt`));
    await ok(two.of(priv, "anon").uploadToSignedUrl(up.path, up.token, "by address", { contentType: "text/plain" }));
    for (const reader of [one, two]) same((await bytesOf(reader.of(priv).download(up.path))).toString(), "by address", "signed upload");
    const { error } = await one.of(priv, "anon").uploadToSignedUrl(up.path, up.token, "again");
    same(error?.code, "KeyAlreadyExists", "again");
    const short = await ok(one.of(priv).createSignedUrl("w/theirs/text.txt", 1));
    await until("an end", async () => (await fetch(at(short.signedUrl))).status === 400);
    same((await (await fetch(at(short.signedUrl))).json()).error, "InvalidJWT", "expired");
  }
  const paths = (names) => ({ who: "service", method: "POST", path: `/object/sign/${priv}`, json: { expiresIn: 60, paths: names } });
  await alike([paths(["w/ours/text.txt", "none", "w/theirs/page.html"]), { who: "service", method: "POST", path: `/object/sign/${priv}/w/ours/text.txt`, json: { expiresIn: 60 } },
    { who: "service", method: "POST", path: `/object/upload/sign/${priv}/s/new`, json: {} }], (answer) => ({ ...answer, body: masked(answer.body) }));
});

function resumable(server, who, bucket, objectName, content, options = {}) {
  return new Promise((resolve, reject) => new tus.Upload(content, {
    endpoint: `${server.base}/upload/resumable`, retryDelays: null, chunkSize: 6 * 1024 * 1024, removeFingerprintOnSuccess: true,
    headers: { authorization: `Bearer ${tokens[who]}`, "x-upsert": "false" }, onError: reject, onSuccess: resolve,
    metadata: { bucketName: bucket, objectName, contentType: "application/x-tus", cacheControl: "3600", metadata: JSON.stringify({ by: "tus" }) }, ...options,
  }).start());
}

await group("resumable uploads: to one, read by both", async () => {
  const large = randomBytes(13 * 1024 * 1024 + 1);
  const rows = [];
  for (const [one, two] of ways) {
    const key = `tus/${one.name}.bin`;
    await resumable(one, "service", priv, key, large);
    for (const reader of [one, two]) same(await bytesOf(reader.of(priv).download(key)), large, `bytes by ${reader.name}`);
    await alike(["/object/info", "/object"].map((route) => ({ who: "service", method: route === "/object" ? "HEAD" : "GET", path: `${route}/${priv}/${key}` })));
    const { path_tokens: _, name: __, ...rest } = row(priv, key);
    rows.push(masked(rest));
  }
  agree("row", untagged(rows[1]), untagged(rows[0]));
});

const s3 = async () => {
  const { S3Client, ...commands } = await import(new URL("../js/node_modules/@aws-sdk/client-s3/dist-cjs/index.js", import.meta.url)).then((module) => module.default ?? module);
  const client = (endpoint) => new S3Client({ endpoint, region: "us-east-1", forcePathStyle: true, requestChecksumCalculation: "WHEN_REQUIRED" });
  return { commands, clients: { theirs: client(`${theirs.base}/s3`), ours: client(env.S3_ENDPOINT) } };
};
await group("S3: parts to one, read by both; lists alike", async () => {
  const { commands: c, clients } = await s3();
  const parts = [randomBytes(5 * 1024 * 1024), randomBytes(1000)];
  for (const [one, two] of ways) {
    const at = { Bucket: priv, Key: `s3/${one.name}.bin` };
    const client = clients[one.name];
    const { UploadId } = await client.send(new c.CreateMultipartUploadCommand({ ...at, ContentType: "text/x-s3" }));
    const done = [];
    for (const [index, Body] of parts.entries()) {
      const { ETag } = await client.send(new c.UploadPartCommand({ ...at, UploadId, PartNumber: index + 1, Body }));
      done.push({ ETag, PartNumber: index + 1 });
    }
    await client.send(new c.CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload: { Parts: done } }));
    await client.send(new c.PutObjectCommand({ ...at, Key: `s3/${one.name}.txt`, Body: "by S3", ContentType: "text/x-one", Metadata: { k: "v" } }));
    for (const reader of [one, two]) same(await bytesOf(reader.of(priv).download(at.Key)), Buffer.concat(parts), `bytes by ${reader.name}`);
    const heads = await Promise.all(["theirs", "ours"].map(async (name) => {
      const { ETag, ContentLength, ContentType, LastModified, Metadata } = await clients[name].send(new c.HeadObjectCommand({ ...at, Key: `s3/${one.name}.txt` }));
      return { ETag, ContentLength, ContentType, LastModified, Metadata };
    }));
    same(heads[1], heads[0], "head");
    await alike(["txt", "bin"].flatMap((end) => ["/object/info", "/object"].map((route) => ({ who: "service", path: `${route}/${priv}/s3/${one.name}.${end}` }))), untagged);
    await two.of(priv).copy(at.Key, `${at.Key}.copy`);
    same(await bytesOf(one.of(priv).download(`${at.Key}.copy`)), Buffer.concat(parts), "a copy");
  }
  const listed = await Promise.all(["theirs", "ours"].map(async (name) => {
    const page = await clients[name].send(new c.ListObjectsV2Command({ Bucket: priv, Delimiter: "/" }));
    const all = await clients[name].send(new c.ListObjectsV2Command({ Bucket: priv }));
    return [page.CommonPrefixes?.map((p) => p.Prefix), all.Contents.map(({ Key, Size }) => [Key, Size]), all.KeyCount];
  }));
  same(listed[1], listed[0], "list");
});

await group("policies: each operation, by each role, the same outcome", async () => {
  sql(`create schema if not exists auth; grant usage on schema auth to anon, authenticated;
       create or replace function auth.uid() returns uuid language sql stable as
         'select nullif(current_setting(''request.jwt.claim.sub'', true), '''')::uuid';
       create policy beside_own on storage.objects for all to authenticated
         using (bucket_id = '${priv}' and (storage.foldername(name))[1] = (select auth.uid()::text))
         with check (bucket_id = '${priv}' and (storage.foldername(name))[1] = (select auth.uid()::text));
       create policy beside_owner on storage.objects for select to authenticated using (owner_id = (select auth.uid()::text));
       create policy beside_box on storage.objects for insert to anon with check (bucket_id = '${other}' and name like 'drop/%');
       create policy beside_image on storage.objects for insert to authenticated
         with check (bucket_id = '${other}' and metadata->>'mimetype' like 'image/%' and (metadata->>'contentLength')::int <= 10);
       create policy beside_read on storage.objects for select to anon using (bucket_id = '${other}' and storage.allow_only_operation('object.list'));
       create policy beside_buckets on storage.buckets for select to authenticated using (id = '${priv}');
       create policy beside_made on storage.buckets for insert to authenticated with check (owner_id = (select auth.uid()::text) and name like 'mine-%')`);
  const told = {};
  for (const one of [theirs, ours]) {
    const lines = [];
    told[one.name] = lines;
    const root = `${sub}/${one.name}`;
    const note = async (what, answer) => {
      const { data, error } = await answer;
      const blob = data instanceof Blob ? await data.text() : data;
      const text = JSON.stringify(error ? [error.code, error.statusCode, error.message] : blob).replaceAll(one.base, "BASE").replaceAll(sub, "SUB").replaceAll(one.name, "X");
      lines.push([what, masked(JSON.parse(text))]);
    };
    for (const who of ["user", "stranger", "anon"]) {
      const [mine, box] = [one.of(priv, who), one.of(other, who)];
      await note(`${who} upload`, mine.upload(`${root}/${who}.txt`, "x", { contentType: "text/plain", metadata: { m: 1 } }));
      await note(`${who} upload again`, mine.upload(`${root}/${who}.txt`, "x"));
      await note(`${who} upsert`, mine.upload(`${root}/user.txt`, "y", { upsert: true, contentType: "text/plain" }));
      await note(`${who} update`, mine.update(`${root}/user.txt`, "z", { contentType: "text/plain" }));
      await note(`${who} download`, mine.download(`${root}/user.txt`));
      await note(`${who} info`, mine.info(`${root}/user.txt`));
      await note(`${who} exists`, mine.exists(`${root}/user.txt`));
      await note(`${who} list`, mine.list(root));
      await note(`${who} listV2`, mine.listV2({ prefix: root }));
      await note(`${who} copy`, mine.copy(`${root}/user.txt`, `${root}/${who}.copy`));
      await note(`${who} copy out`, mine.copy(`${root}/user.txt`, `out/${one.name}/${who}`));
      await note(`${who} move out`, mine.move(`${root}/user.txt`, `out/${one.name}/${who}`));
      await note(`${who} move`, mine.move(`${root}/${who}.copy`, `${root}/${who}.moved`));
      await note(`${who} sign`, mine.createSignedUrl(`${root}/user.txt`, 60));
      await note(`${who} sign many`, mine.createSignedUrls([`${root}/user.txt`, "w/none"], 60));
      await note(`${who} sign upload`, mine.createSignedUploadUrl(`${root}/${who}.up`));
      await note(`${who} sign upload anew`, mine.createSignedUploadUrl(`${root}/user.txt`, { upsert: true }));
      await note(`${who} box`, box.upload(`drop/${one.name}-${who}`, "x", { contentType: "text/plain" }));
      await note(`${who} box upsert`, box.upload(`drop/${one.name}-${who}2`, "x", { upsert: true }));
      await note(`${who} box image`, box.upload(`img/${one.name}-${who}`, "x", { contentType: "image/png" }));
      await note(`${who} box large image`, box.upload(`img/${one.name}-${who}2`, "xxxxxxxxxxxxxxx", { contentType: "image/png" }));
      await note(`${who} box read`, box.download(`drop/${one.name}-anon`));
      lines.push([`${who} box list`, (await ok(box.list("drop"))).filter((file) => file.name.startsWith(one.name)).length]);
      await note(`${who} get bucket`, one.as(who).getBucket(priv));
      await note(`${who} get other bucket`, one.as(who).getBucket(other));
      await note(`${who} list buckets`, one.as(who).listBuckets());
      await note(`${who} make bucket`, one.as(who).createBucket(`mine-${one.name}-${who}-${run}`));
      await note(`${who} make bucket not so`, one.as(who).createBucket(`not-${one.name}-${who}-${run}`));
      await note(`${who} change bucket`, one.as(who).updateBucket(priv, { public: true }));
      await note(`${who} empty bucket`, one.as(who).emptyBucket(priv));
      const resumed = await resumable(one, who, priv, `${root}/${who}.tus`, body).then(() => "done", (error) => error.originalResponse?.getStatus() + error.originalResponse?.getBody());
      lines.push([`${who} resumable`, resumed]);
      const deleted = await ask(one, { who, method: "DELETE", path: `/object/${priv}/${root}/user.txt` });
      lines.push([`${who} delete`, [deleted.status, deleted.body]]);
      if (who === "user") await ok(mine.upload(`${root}/user.txt`, "z", { contentType: "text/plain" }));
      await note(`${who} remove`, mine.remove([`${root}/${who}.moved`, "w/ours/text.txt"]));
    }
  }
  told.ours.forEach(([what, got], at) => agree(what, got, told.theirs[at][1]));
});

await group("writers on both sides of one key: one body, whole, and one file", async () => {
  const key = "race/k";
  for (let round = 0; round < 5; round += 1) {
    const bodies = Array.from({ length: 8 }, () => randomBytes(20_000));
    await Promise.all(bodies.map((bytes, at) => [theirs, ours][at % 2].of(priv).upload(key, bytes, { upsert: true })));
    const read = await Promise.all([theirs, ours].map((one) => bytesOf(one.of(priv).download(key))));
    same(read[0].equals(read[1]) && bodies.some((bytes) => bytes.equals(read[0])), true, "one of the bodies");
    await until("one file", async () => files(priv, key).length === 1);
  }
});

await group("delete: one what the other wrote, one by one, many, a bucket", async () => {
  for (const [one, two] of ways) {
    const names = ["1", "2", "3"].map((n) => `del/${one.name}/${n}`);
    for (const name of names) await ok(one.of(priv).upload(name, "x", { metadata: { k: 1 } }));
    const single = await ask(two, { who: "service", method: "DELETE", path: `/object/${priv}/${names[0]}` });
    same(single.body, { message: "Successfully deleted" }, "answer");
    const rows = names.slice(1).map((name) => row(priv, name));
    const gone = await ok(two.of(priv).remove([...names.slice(1), "none"]));
    const told = (list) => list.map(({ name, id, metadata, user_metadata }) => ({ name, id, metadata, user_metadata })).sort((a, b) => (a.name < b.name ? -1 : 1));
    agree(`what ${two.name} says it removed`, told(gone), told(rows));
    for (const reader of [one, two]) for (const name of names) same((await reader.of(priv).exists(name)).data, false, `${name} by ${reader.name}`);
    await until("no files", async () => names.every((name) => files(priv, name).length === 0));
    const bucket = `gone-${one.name}-${run}`;
    await ok(one.as("service").createBucket(bucket));
    await ok(one.of(bucket).upload("a/b", "x"));
    await ok(two.of(bucket).upload("c", "x"));
    await ok(two.as("service").emptyBucket(bucket));
    await until("an empty bucket", async () => (await ok(one.of(bucket).list())).length === 0);
    await ok(two.as("service").deleteBucket(bucket));
    await until("no bucket", async () => (await one.as("service").getBucket(bucket)).error?.code === "NoSuchBucket");
  }
});

end();
