#!/usr/bin/env node
// A LoopBack 3 application whose `container` model is on loopback-connector-remote: the seven methods that travel as JSON,
// their errors, and what the application re-exposes over REST. Files travel by plain HTTP, as in such applications.
// The report is the one of harness.py: a line per check group; a comparison of ours that fails says "differs".
import assert from "node:assert/strict";
import { createHmac, randomBytes, randomUUID } from "node:crypto";
import { createRequire } from "node:module";

const env = process.env;
if (!env.REST_ENDPOINT || !env.LONGSHORE_JWT_SECRET) {
  console.log("SKIP loopback: no REST_ENDPOINT or no LONGSHORE_JWT_SECRET");
  process.exit(77);
}
const loopback = createRequire(import.meta.url)("loopback");
const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
const now = Math.floor(Date.now() / 1000);
function tokenOf(user, ends = now + 3600) {
  const text = `${part({ alg: "HS256" })}.${part({ longshore_user: user, iat: now, exp: ends, jti: randomUUID() })}`;
  return `${text}.${createHmac("sha256", env.LONGSHORE_JWT_SECRET).update(text).digest("base64url")}`;
}
const token = tokenOf("root");
const base = `${env.REST_ENDPOINT}/api/containers`;
const name = `compat-lb-${Date.now().toString(36)}`;

let failed = 0;
async function group(what, check) {
  try {
    await check();
    console.log(`PASS loopback: ${what}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL loopback: ${what}: ${String(error?.message ?? error).replace(/\s+/g, " ").slice(0, 400)}`);
  }
}
function same(got, wanted, what) {
  try { assert.deepEqual(got, wanted); } catch {
    throw new Error(`${what} differs: ${JSON.stringify(got)?.slice(0, 160)}, wanted ${JSON.stringify(wanted)?.slice(0, 160)}`);
  }
}
/** Status and code of an error that must come. */
async function refused(call, status, code) {
  let got = "success";
  try { await call; } catch (error) { got = [error.statusCode, error.code]; }
  same(got, [status, code], "error");
}

// An application with a model whose methods are those of the storage component, on a server elsewhere.
function application(shown) {
  const app = loopback({ localRegistry: true, loadBuiltinModels: false });
  const source = app.dataSource("elsewhere", { connector: createRequire(import.meta.url)("loopback-connector-remote"), url: `${env.REST_ENDPOINT}/api/` });
  if (shown) source.connector.remotes.auth = { bearer: Buffer.from(shown).toString("base64"), sendImmediately: true };
  const container = app.registry.createModel({ name: "container", base: "Model", plural: "containers" });
  const text = (arg) => ({ arg, type: "string", required: true, http: { source: "path" } });
  const declare = (method, verb, path, accepts, returns) => {
    container[method] = () => { throw new Error("not a remote method"); };
    container.remoteMethod(method, { isStatic: true, accepts, http: { verb, path }, ...(returns && { returns: { arg: "value", type: returns, root: true } }) });
  };
  declare("getContainers", "get", "/", [], "array");
  declare("createContainer", "post", "/", [{ arg: "options", type: "object", http: { source: "body" } }], "object");
  declare("getContainer", "get", "/:container", [text("container")], "object");
  declare("destroyContainer", "delete", "/:container", [text("container")]);
  declare("getFiles", "get", "/:container/files", [text("container")], "array");
  declare("getFile", "get", "/:container/files/:file", [text("container"), text("file")], "object");
  declare("removeFile", "delete", "/:container/files/:file", [text("container"), text("file")]);
  declare("upload", "post", "/:container/upload", [text("container")], "object");
  app.model(container, { dataSource: "elsewhere", public: true });
  app.use("/api", loopback.rest());
  return { app, container };
}
const call = (model, method, ...args) =>
  new Promise((done, fail) => model[method](...args, (error, value) => (error ? fail(error) : done(value))));

const { app, container } = application(token);
const headers = { Authorization: token };
const form = (files, fields = {}) => {
  const data = new FormData();
  for (const [field, value] of Object.entries(fields)) data.append(field, value);
  for (const [field, file, bytes, type] of files) data.append(field, new Blob([bytes], { type }), file);
  return data;
};
const upload = async (data) => await fetch(`${base}/${name}/upload`, { method: "POST", headers, body: data });
const big = randomBytes(3 * 1024 * 1024 + 17);

await group("remote connector: a container is made, listed, looked up", async () => {
  same(Array.isArray(await call(container, "getContainers")), true, "list");
  same((await call(container, "createContainer", { name })).name, name, "made");
  same((await call(container, "getContainers")).filter((one) => one.name === name).length, 1, "listed");
  same(Object.keys(await call(container, "getContainer", name)), ["name", "size", "atime", "mtime", "ctime"], "members");
  same(await call(container, "getFiles", name), [], "files");
});
await group("remote connector: errors keep status and code", async () => {
  await refused(call(container, "getContainer", `${name}-none`), 404, "ENOENT");
  await refused(call(container, "getFile", name, "none.txt"), 404, "ENOENT");
  await refused(call(container, "createContainer", { name }), 500, undefined);
  await refused(call(container, "removeFile", name, "none.txt"), 500, undefined);
  await refused(call(container, "upload", name), 400, undefined);
});
await group("form upload: files and fields over HTTP", async () => {
  const files = [["f1", "a.txt", "hello", "text/plain"], ["f2", "big.bin", big, "application/octet-stream"], ["f2", "ü b.json", "{}", "application/json"]];
  const answer = await upload(form(files, { note: "abc" }));
  same(answer.status, 200, "status");
  const entry = (field, file, type, size) => ({ container: name, name: file, type, field, size });
  same(await answer.json(), { result: { files: {
    f1: [entry("f1", "a.txt", "text/plain", 5)],
    f2: [entry("f2", "big.bin", "application/octet-stream", big.length), entry("f2", "ü b.json", "application/json", 2)],
  }, fields: { note: ["abc"] } } }, "result");
});
await group("remote connector: files are listed, looked up, removed", async () => {
  const files = await call(container, "getFiles", name);
  same(files.map((file) => [file.name, file.size]), [["a.txt", 5], ["big.bin", big.length], ["ü b.json", 2]], "files");
  const file = await call(container, "getFile", name, "a.txt");
  same([file.container, file.name, file.size], [name, "a.txt", 5], "file");
  await call(container, "removeFile", name, "a.txt");
  await refused(call(container, "getFile", name, "a.txt"), 404, "ENOENT");
});
await group("download: whole and in ranges over HTTP", async () => {
  const get = async (range) => await fetch(`${base}/${name}/download/big.bin`, { headers: { ...headers, ...(range && { Range: range }) } });
  const whole = await get();
  same([whole.status, Number(whole.headers.get("content-length"))], [200, big.length], "whole");
  same(Buffer.compare(Buffer.from(await whole.arrayBuffer()), big), 0, "bytes");
  for (const [range, from, to] of [["bytes=0-4", 0, 5], ["bytes=1000-", 1000, big.length], ["bytes=-7", big.length - 7, big.length]]) {
    const some = await get(range);
    same([some.status, some.headers.get("content-range")], [206, `bytes ${from}-${to - 1}/${big.length}`], range);
    same(Buffer.compare(Buffer.from(await some.arrayBuffer()), big.subarray(from, to)), 0, range);
  }
  const gone = await get(`bytes=${big.length}-`);
  same([gone.status, gone.headers.get("content-range")], [416, `bytes */${big.length}`], "behind the end");
});
await group("tokens: in every place that LoopBack looks for one", async () => {
  const base64 = (text) => Buffer.from(text).toString("base64");
  for (const [query, shown] of [
    [`?access_token=${token}`, {}], ["", { "X-Access-Token": token }], ["", { Authorization: token }],
    ["", { Authorization: `Bearer ${base64(token)}` }], ["", { Authorization: `Bearer ${token}` }],
    ["", { Authorization: `Basic ${base64(`${token}:`)}` }], ["", { Authorization: `Basic ${base64(`u:${token}`)}` }],
  ]) same((await fetch(`${base}/${name}${query}`, { headers: shown })).status, 200, `${query} ${Object.keys(shown)}`);
  await refused(call(application().container, "getContainers"), 401, "AUTHORIZATION_REQUIRED");
  await refused(call(application(tokenOf("nobody-of-this-name")).container, "getContainers"), 401, "INVALID_TOKEN");
  await refused(call(application(tokenOf("root", now - 5)).container, "getContainers"), 401, "INVALID_TOKEN");
});
await group("re-exposed: what the application shows over its own REST", async () => {
  const server = app.listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  try {
    const at = `http://127.0.0.1:${server.address().port}/api/containers`;
    same((await (await fetch(`${at}/${name}/files`)).json()).map((file) => file.name), ["big.bin", "ü b.json"], "files");
    same((await fetch(`${at}/${name}-none`)).status, 404, "unknown");
  } finally {
    server.close();
  }
});
await group("remote connector: a container is destroyed with its files", async () => {
  await call(container, "destroyContainer", name);
  await refused(call(container, "getContainer", name), 404, "ENOENT");
  await refused(call(container, "destroyContainer", name), 500, undefined);
});
process.exit(failed);
