#!/usr/bin/env node
// @supabase/storage-js: every method of buckets and files, as service_role, authenticated and anon.
// tus-js-client: uploads in chunks, one that breaks off and is resumed, one by a signed address, one without a length, one whose
// last answer is lost, one that sends POST for PATCH.
// With a catalog in Postgres (PGPORT, PGUSER, PGPASSWORD) also what policies in SQL let each of them do.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import { StorageClient } from "@supabase/storage-js";
import * as tus from "tus-js-client";
import { report, same, skip, token } from "../report.mjs";

const env = process.env;
if (!env.REST_ENDPOINT || !env.LONGSHORE_JWT_SECRET) {
  skip("supabase", "no REST_ENDPOINT or no LONGSHORE_JWT_SECRET");
}
const base = `${env.REST_ENDPOINT}/storage/v1`;
const as = (claims) => new StorageClient(base, { Authorization: `Bearer ${token(claims)}` });
const sub = randomUUID();
const service = as({ role: "service_role" });
const user = as({ role: "authenticated", sub });
const anon = as({ role: "anon" });
const run = Date.now().toString(36);
const [pub, priv, other] = ["pub", "priv", "other"].map((name) => `compat-${name}-${run}`);

const { group, end } = report("supabase");
/** The data of an answer that must have succeeded. */
async function ok(answer) {
  const { data, error } = await answer;
  if (error) throw new Error(`refused: ${error.code} ${error.message}`);
  return data;
}
/** The code of an answer that must have been refused. */
async function refused(answer, code, status) {
  const { data, error } = await answer;
  if (!error) throw new Error(`succeeded, wanted ${code}: ${JSON.stringify(data)}`);
  same([error.code, error.statusCode], [code, status], `code of "${error.message}"`);
}
const text = async (answer) => await (await ok(answer)).text();

await group("buckets: create, get, list, update, empty, delete", async () => {
  same(await ok(service.createBucket(pub, { public: true, fileSizeLimit: "1MB", allowedMimeTypes: ["image/*", "text/plain"] })), { name: pub }, "created");
  await ok(service.createBucket(priv, { public: false }));
  await ok(service.createBucket(other, { public: false }));
  await refused(service.createBucket(pub, { public: true }), "BucketAlreadyExists", "409");
  const bucket = await ok(service.getBucket(pub));
  same([bucket.id, bucket.public, bucket.file_size_limit, bucket.allowed_mime_types], [pub, true, 1000000, ["image/*", "text/plain"]], "bucket");
  await refused(service.getBucket(`${pub}-none`), "NoSuchBucket", "404");
  const names = (await ok(service.listBuckets({ search: run, sortColumn: "name", sortOrder: "desc" }))).map((b) => b.name);
  same(names, [pub, priv, other].sort().reverse(), "list");
  same((await ok(service.listBuckets({ search: run, limit: 1, offset: 1, sortColumn: "name" }))).length, 1, "page");
  await ok(service.updateBucket(other, { public: true, fileSizeLimit: 10 }));
  same((await ok(service.getBucket(other))).file_size_limit, 10, "limit");
  await ok(service.updateBucket(other, { public: false, fileSizeLimit: null }));
  await refused(anon.createBucket(`${pub}-x`), "AccessDenied", "403");
  await refused(user.getBucket(priv), "NoSuchBucket", "404");
  same(await ok(anon.listBuckets()), [], "buckets of anon");
});

const bytes = randomBytes(300_000);
await group("upload: text, buffer, blob, form, stream; upsert, metadata, limits", async () => {
  const files = service.from(priv);
  const first = await ok(files.upload("dir/text.txt", "hello", { contentType: "text/plain", cacheControl: "60", metadata: { a: "1", deep: { b: [2] } } }));
  same([first.path, first.fullPath], ["dir/text.txt", `${priv}/dir/text.txt`], "path");
  await refused(files.upload("dir/text.txt", "again"), "KeyAlreadyExists", "409");
  await ok(files.upload("dir/text.txt", "hello upsert", { upsert: true, contentType: "text/plain", metadata: { k: "v" } }));
  await ok(files.upload("dir/buffer.bin", bytes));
  await ok(files.upload("dir/blob.bin", new Blob([bytes], { type: "application/x-blob" }), { metadata: { b: "ünï" } }));
  const form = new FormData();
  form.append("file", new Blob(["form"], { type: "text/csv" }), "name.csv");
  await ok(files.upload("dir/form.csv", form));
  await ok(files.upload("dir/stream.bin", Readable.toWeb(Readable.from([bytes.subarray(0, 1000), bytes.subarray(1000)])), { duplex: "half" }));
  same((await ok(files.info("dir/text.txt"))).metadata, { k: "v" }, "metadata");
  const blob = await ok(files.info("dir/blob.bin"));
  same([blob.contentType, blob.size, blob.metadata, blob.cacheControl], ["application/x-blob", bytes.length, { b: "ünï" }, "max-age=3600"], "info of blob");
  same((await ok(files.info("dir/form.csv"))).contentType, "text/csv", "type of form");
  for (const name of ["buffer.bin", "blob.bin", "stream.bin"]) {
    const got = Buffer.from(await (await ok(files.download(`dir/${name}`))).arrayBuffer());
    same(got.equals(bytes), true, `bytes of ${name}`);
  }
  await ok(files.update("dir/text.txt", "updated", { contentType: "text/plain" }));
  same(await text(files.download("dir/text.txt")), "updated", "update");
  await refused(service.from(pub).upload("a.json", "{}", { contentType: "application/json" }), "InvalidMimeType", "415");
  await refused(service.from(pub).upload("big.txt", "x".repeat(1_000_001), { contentType: "text/plain" }), "EntityTooLarge", "413");
  await refused(files.upload("a{b}.txt", "x"), "InvalidKey", "400");
  await refused(service.from(`${pub}-none`).upload("a.txt", "x"), "NoSuchBucket", "404");
  await refused(anon.from(pub).upload("a.txt", "x", { contentType: "text/plain" }), "AccessDenied", "403");
});

await group("names: what clients escape comes back", async () => {
  const files = service.from(priv);
  for (const name of ["odd/a b.txt", "odd/what?.txt", "odd/a+b&c=d;e,f.txt", "odd/(1)!'*.txt", "odd/$@:.txt"]) {
    await ok(files.upload(name, name));
    same(await text(files.download(name)), name, `bytes of ${name}`);
    const { signedUrl } = await ok(files.createSignedUrl(name, 60));
    same(await (await fetch(signedUrl)).text(), name, `signed ${name}`);
  }
});

await group("download, info, exists, public addresses", async () => {
  await ok(service.from(pub).upload("p/a b.txt", "public", { contentType: "text/plain" }));
  const url = anon.from(pub).getPublicUrl("p/a b.txt", { download: "x y.txt" }).data.publicUrl;
  const answer = await fetch(url);
  same([answer.status, await answer.text()], [200, "public"], "public");
  same(answer.headers.get("content-disposition"), "attachment; filename=x%20y.txt; filename*=UTF-8''x%20y.txt", "disposition");
  same(await text(anon.from(pub).download("p/a b.txt")), "public", "by anon");
  await refused(anon.from(priv).download("dir/text.txt"), "NoSuchKey", "404");
  same((await fetch(anon.from(priv).getPublicUrl("dir/text.txt").data.publicUrl)).status, 400, "private");
  same(await ok(service.from(priv).exists("dir/text.txt")), true, "exists");
  same((await service.from(priv).exists("dir/none.txt")).data, false, "exists not");
  const part = await fetch(anon.from(pub).getPublicUrl("p/a b.txt").data.publicUrl, { headers: { range: "bytes=1-3" } });
  same([part.status, await part.text()], [206, "ubl"], "range");
});

await group("list and listV2: levels, search, sort, pages", async () => {
  const files = service.from(other);
  for (const name of ["b.txt", "A.txt", "c/1.txt", "c/d/2.txt"]) await ok(files.upload(name, name));
  const names = async (...asked) => (await ok(files.list(...asked))).map((file) => file.name);
  same(await names(), ["A.txt", "b.txt", "c"], "root");
  same(await names("c"), ["1.txt", "d"], "folder");
  same(await names("", { search: "b" }), ["b.txt"], "search");
  same(await names("", { limit: 1, offset: 1, sortBy: { column: "name", order: "desc" } }), ["b.txt"], "page");
  same(await names("", { sortBy: { column: "created_at", order: "asc" } }), ["c", "b.txt", "A.txt"], "by date");
  const first = await ok(files.listV2({ with_delimiter: true, limit: 2 }));
  same([first.hasNext, first.objects.map((o) => o.name), first.folders.map((o) => o.name)], [true, ["A.txt", "b.txt"], []], "first page");
  const second = await ok(files.listV2({ with_delimiter: true, limit: 2, cursor: first.nextCursor }));
  same([second.hasNext, second.folders.map((o) => o.name)], [false, ["c/"]], "second page");
  same((await ok(files.listV2({ prefix: "c/" }))).objects.map((o) => o.name), ["c/1.txt", "c/d/2.txt"], "all beneath");
  same(await ok(anon.from(other).list()), [], "by anon");
});

await group("move and copy, also across buckets", async () => {
  const files = service.from(other);
  await ok(files.move("b.txt", "moved/b.txt"));
  same((await files.exists("b.txt")).data, false, "source");
  await ok(files.copy("moved/b.txt", "copied.txt"));
  await ok(files.copy("moved/b.txt", "from-other.txt", { destinationBucket: priv }));
  same(await text(service.from(priv).download("from-other.txt")), "b.txt", "across");
  await ok(files.move("copied.txt", "moved.txt", { destinationBucket: priv }));
  await refused(files.copy("A.txt", "moved/b.txt"), "KeyAlreadyExists", "409");
  await refused(files.move("A.txt", "moved/b.txt"), "ResourceAlreadyExists", "409");
  await refused(files.move("none", "x"), "NoSuchKey", "404");
});

await group("signed addresses: one, many, download, upload, upsert", async () => {
  const files = service.from(priv);
  const { signedUrl } = await ok(files.createSignedUrl("dir/text.txt", 60, { download: true }));
  const answer = await fetch(signedUrl);
  same([answer.status, await answer.text(), answer.headers.get("content-disposition")], [200, "updated", "attachment;"], "signed");
  same((await fetch(`${signedUrl.split("?")[0]}x?${signedUrl.split("?")[1]}`)).status, 400, "another path");
  const many = await ok(files.createSignedUrls(["dir/text.txt", "none.txt"], 60));
  same([many[0].error, many[1].signedUrl], [null, null], "many");
  same(await (await fetch(many[0].signedUrl)).text(), "updated", "first of many");
  await refused(files.createSignedUrl("none.txt", 60), "NoSuchKey", "404");
  await refused(anon.from(priv).createSignedUrl("dir/text.txt", 60), "NoSuchKey", "404");
  const up = await ok(files.createSignedUploadUrl("up/a.txt"));
  await ok(anon.from(priv).uploadToSignedUrl(up.path, up.token, "by address", { contentType: "text/plain" }));
  await refused(anon.from(priv).uploadToSignedUrl(up.path, up.token, "again"), "KeyAlreadyExists", "409");
  const over = await ok(files.createSignedUploadUrl("up/a.txt", { upsert: true }));
  await ok(anon.from(priv).uploadToSignedUrl(over.path, over.token, new Blob(["replaced"], { type: "text/plain" })));
  same(await text(files.download("up/a.txt")), "replaced", "upsert");
  await refused(anon.from(priv).uploadToSignedUrl("up/b.txt", over.token, "x"), "InvalidSignature", "400");
});

/** Uploads by TUS; `stop` says after how many bytes it is broken off. */
function resumable(objectName, content, options = {}) {
  const { stop, endpoint = `${base}/upload/resumable`, headers, ...more } = options;
  return new Promise((resolve, reject) => {
    const upload = new tus.Upload(content, {
      endpoint, retryDelays: null, chunkSize: 6 * 1024 * 1024, removeFingerprintOnSuccess: true,
      headers: headers ?? { authorization: `Bearer ${token({ role: "service_role" })}`, "x-upsert": "false" },
      metadata: { bucketName: priv, objectName, contentType: "application/x-tus", cacheControl: "3600", metadata: JSON.stringify({ by: "tus" }) },
      onError: reject,
      onProgress: (sent) => { if (stop && sent >= stop) upload.abort().then(() => resolve(upload.url), reject); },
      onSuccess: () => resolve(upload.url),
      ...more,
    });
    upload.start();
  });
}

await group("resumable: chunks, a break, a signed address, no length", async () => {
  const files = service.from(priv);
  const large = randomBytes(20 * 1024 * 1024 + 1);
  const matches = async (name, wanted) => {
    const got = Buffer.from(await (await ok(files.download(name))).arrayBuffer());
    same([got.length, got.equals(wanted)], [wanted.length, true], `bytes of ${name}`);
  };
  await resumable("tus/chunks.bin", large);
  await matches("tus/chunks.bin", large);
  const info = await ok(files.info("tus/chunks.bin"));
  same([info.contentType, info.cacheControl, info.metadata], ["application/x-tus", "max-age=3600", { by: "tus" }], "info");
  const url = await resumable("tus/broken.bin", large, { stop: 7 * 1024 * 1024 });
  same((await files.exists("tus/broken.bin")).data, false, "before the end");
  await resumable("tus/broken.bin", large, { uploadUrl: url });
  await matches("tus/broken.bin", large);
  await resumable("tus/whole.bin", large, { chunkSize: Infinity });
  await matches("tus/whole.bin", large);
  await resumable("tus/stream.bin", Readable.from([large.subarray(0, 100), large.subarray(100, 9_000_000)]), { uploadLengthDeferred: true });
  await matches("tus/stream.bin", large.subarray(0, 9_000_000));
  // What HEAD tells then must be that all of it is there.
  let lost = 0;
  const lose = (request, answer) => {
    if (request.getMethod() === "PATCH" && answer.getHeader("tus-complete") && lost++ === 0) throw new Error("lost");
  };
  const stream = Readable.from([large.subarray(0, 100), large.subarray(100, 7_000_000)]);
  await resumable("tus/lost.bin", stream, { uploadLengthDeferred: true, retryDelays: [0, 100], onAfterResponse: lose });
  same(lost, 1, "answers lost");
  await matches("tus/lost.bin", large.subarray(0, 7_000_000));
  await resumable("tus/post.bin", large, { overridePatchMethod: true });
  await matches("tus/post.bin", large);
  await assert.rejects(resumable("tus/chunks.bin", large), /409/);
  const signed = await ok(files.createSignedUploadUrl("tus/signed.bin"));
  await resumable("tus/signed.bin", large, { endpoint: `${base}/upload/resumable/sign`, headers: { "x-signature": signed.token } });
  await matches("tus/signed.bin", large);
});

const sql = (text) => execFileSync(`${env.PGBIN}/psql`, ["-qX", "-h", "127.0.0.1", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-c", text], { stdio: "pipe" });

if (!env.PGPORT) await group("no policies in the embedded catalog: what no bucket policy allows is refused", async () => {
  const mine = user.from(priv);
  await refused(mine.upload(`${sub}/a.txt`, "x"), "AccessDenied", "403");
  same((await ok(mine.list(sub))).length, 0, "list before");
  await refused(mine.download("dir/text.txt"), "NoSuchKey", "404");
  await refused(user.emptyBucket(priv), "AccessDenied", "403");
});

if (env.PGPORT) await group("policies: a folder for each user, in SQL", async () => {
  const mine = user.from(priv);
  await refused(mine.upload(`${sub}/a.txt`, "x"), "AccessDenied", "403");
  sql(`create policy own_folder on storage.objects for all to authenticated
       using (bucket_id = '${priv}' and (storage.foldername(name))[1] = (select auth.uid()::text))
       with check (bucket_id = '${priv}' and (storage.foldername(name))[1] = (select auth.uid()::text))`);
  const another = as({ role: "authenticated", sub: randomUUID() }).from(priv);
  await ok(mine.upload(`${sub}/a.txt`, "mine", { contentType: "text/plain", metadata: { of: "user" } }));
  await refused(mine.upload(`${sub}/a.txt`, "again"), "KeyAlreadyExists", "409");
  await ok(mine.upload(`${sub}/a.txt`, "mine, too", { upsert: true, contentType: "text/plain" }));
  same(await text(mine.download(`${sub}/a.txt`)), "mine, too", "own download");
  same((await ok(mine.info(`${sub}/a.txt`))).size, 9, "own info");
  same(await ok(mine.exists(`${sub}/a.txt`)), true, "own exists");
  same((await ok(mine.list(sub))).map((file) => file.name), ["a.txt"], "own list");
  same((await ok(mine.list())).map((file) => file.name), [sub], "own root");
  same((await ok(mine.listV2({ prefix: "" }))).objects.map((o) => o.name), [`${sub}/a.txt`], "own list v2");
  await ok(mine.update(`${sub}/a.txt`, "updated", { contentType: "text/plain" }));
  await ok(mine.copy(`${sub}/a.txt`, `${sub}/b.txt`));
  await ok(mine.move(`${sub}/b.txt`, `${sub}/c.txt`));
  await refused(mine.move(`${sub}/c.txt`, "elsewhere/c.txt"), "AccessDenied", "403");
  await refused(mine.copy("dir/text.txt", `${sub}/stolen.txt`), "NoSuchKey", "404");
  const { signedUrl } = await ok(mine.createSignedUrl(`${sub}/a.txt`, 60));
  same(await (await fetch(signedUrl)).text(), "updated", "own signed address");
  const up = await ok(mine.createSignedUploadUrl(`${sub}/signed.txt`));
  await ok(anon.from(priv).uploadToSignedUrl(up.path, up.token, "by address"));
  await refused(mine.createSignedUploadUrl("elsewhere/signed.txt"), "AccessDenied", "403");
  await resumable(`${sub}/tus.bin`, bytes, { headers: { authorization: `Bearer ${token({ role: "authenticated", sub })}` } });
  await assert.rejects(resumable("elsewhere/tus.bin", bytes, { headers: { authorization: `Bearer ${token({ role: "authenticated", sub })}` } }), /403/);
  for (const stranger of [another, anon.from(priv)]) {
    await refused(stranger.download(`${sub}/a.txt`), "NoSuchKey", "404");
    await refused(stranger.upload(`${sub}/x.txt`, "x"), "AccessDenied", "403");
    await refused(stranger.upload(`${sub}/a.txt`, "x", { upsert: true }), "AccessDenied", "403");
    same(await ok(stranger.list(sub)), [], "list of a stranger");
    same(await ok(stranger.remove([`${sub}/a.txt`])), [], "removed by a stranger");
    await refused(stranger.createSignedUrl(`${sub}/a.txt`, 60), "NoSuchKey", "404");
  }
  same((await ok(mine.remove([`${sub}/a.txt`, "dir/text.txt"]))).map((file) => file.name), [`${sub}/a.txt`], "own removed");
  same(await text(service.from(priv).download("dir/text.txt")), "updated", "kept");
});

if (env.PGPORT) await group("policies: a drop box that nobody may look into, and one's own buckets", async () => {
  sql(`create policy drop_box on storage.objects for insert to anon with check (bucket_id = '${other}' and name like 'drop/%')`);
  await ok(anon.from(other).upload("drop/a.txt", "dropped"));
  await refused(anon.from(other).upload("drop/a.txt", "x", { upsert: true }), "AccessDenied", "403");
  await refused(anon.from(other).download("drop/a.txt"), "NoSuchKey", "404");
  await refused(anon.from(other).upload("a.txt", "x"), "AccessDenied", "403");
  same(await ok(anon.from(other).list("drop")), [], "list");
  same(await text(service.from(other).download("drop/a.txt")), "dropped", "by the service");
  await refused(user.createBucket(`${pub}-x`), "AccessDenied", "403");
  sql("create policy own_buckets on storage.buckets for all to authenticated using (owner_id = (select auth.jwt()->>'sub')) with check (owner_id = (select auth.jwt()->>'sub'))");
  await ok(user.createBucket(`${pub}-own`));
  same((await ok(user.listBuckets())).map((bucket) => bucket.name), [`${pub}-own`], "buckets of the user");
  await refused(user.getBucket(priv), "NoSuchBucket", "404");
  await ok(user.updateBucket(`${pub}-own`, { public: true }));
  await refused(user.updateBucket(priv, { public: true }), "NoSuchBucket", "404");
  await refused(user.deleteBucket(priv), "NoSuchBucket", "404");
  await ok(user.deleteBucket(`${pub}-own`));
});

await group("purgeCache needs a cache, and the service", async () => {
  await refused(service.from(pub).purgeCache("p/a b.txt"), "MissingParameter", "400");
  await refused(user.from(pub).purgeCache("p/a b.txt"), "AccessDenied", "403");
});

await group("remove, and the end of the buckets", async () => {
  const gone = await ok(service.from(priv).remove(["dir/text.txt", "none.txt"]));
  same(gone.map((file) => file.name), ["dir/text.txt"], "removed");
  same(await ok(anon.from(priv).remove(["dir/blob.bin"])), [], "by anon");
  await refused(service.deleteBucket(priv), "ResourceNotEmpty", "409");
  for (const bucket of [pub, priv, other]) {
    same(await ok(service.emptyBucket(bucket)), { message: "Successfully emptied" }, "emptied");
    same(await ok(service.deleteBucket(bucket)), { message: "Successfully deleted" }, "deleted");
  }
});

end();
