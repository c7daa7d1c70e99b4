#!/usr/bin/env node
// Headless Chromium with a page of another origin: @uppy/tus (chunks, a pause, a network that goes away, a page that is closed
// in the middle and opened again), storage-js with files of a form, and pictures.
import { createServer } from "node:http";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { StorageClient } from "@supabase/storage-js";
import { build } from "esbuild";
import { chromium } from "playwright-core";
import { report, same, skip, token } from "../report.mjs";

const env = process.env;
const executablePath = env.CHROMIUM ?? "/usr/bin/chromium";
if (!env.REST_ENDPOINT || !env.LONGSHORE_JWT_SECRET) skip("browser", "no REST_ENDPOINT or no LONGSHORE_JWT_SECRET");
if (!existsSync(executablePath)) skip("browser", `no ${executablePath}`);

const MIB = 1024 * 1024;
const base = `${env.REST_ENDPOINT}/storage/v1`;
const bucket = `compat-browser-${Date.now().toString(36)}`;
const service = token({ role: "service_role" });
const storage = new StorageClient(base, { Authorization: `Bearer ${service}` });
const { group, end } = report("browser");

/** Serves the page and what it runs, and opens it; `requests` are those for resumable uploads. */
async function opened() {
  const [script] = (await build({
    entryPoints: [fileURLToPath(new URL("page.js", import.meta.url))], bundle: true, write: false, format: "iife", logLevel: "error",
  })).outputFiles;
  const server = createServer((request, answer) => {
    const [type, body] = request.url === "/page.js" ? ["text/javascript", script.text] : ["text/html", "<!doctype html><script src=/page.js></script>"];
    answer.writeHead(200, { "content-type": type }).end(body);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const browser = await chromium.launch({
    executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync"],
  });
  const context = await browser.newContext();
  const requests = [];
  context.on("request", (request) => {
    if (request.url().includes("/upload/resumable")) requests.push(request.method());
  });
  const open = async () => {
    const page = await context.newPage();
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    return page;
  };
  return { context, requests, open, close: async () => { await browser.close(); server.close(); } };
}

const { context, requests, open, close } = await opened();
const page = await open();
const call = (name, options) =>
  page.evaluate(([name, options]) => window.page[name](options), [name, { base, token: service, bucket, ...options }]);
const uploaded = (name, page, length) => page.waitForFunction((length) => window.progressed >= length, length, { timeout: 60_000 });
const whole = { successful: 1, failed: [] };
const found = { status: 200, type: "application/x-page", equal: true };

await group("storage-js: file of a form, download, list, what is not there", async () => {
  const { error } = await storage.createBucket(bucket, { public: true });
  if (error) throw error;
  same(await call("storage", { length: 300_000 }), { put: "from/page.bin", listed: ["page.bin"], gone: "StorageApiError", equal: true }, "storage");
});

await group("uppy: chunks, and one request", async () => {
  for (const [name, length, chunk] of [["chunks.bin", 13 * MIB, 6 * MIB], ["whole.bin", 2 * MIB, undefined], ["empty.bin", 0, 6 * MIB]]) {
    same(await call("upload", { name, length, chunk }), whole, name);
    same(await call("read", { name, length }), found, name);
  }
});

await group("uppy: paused and gone on with", async () => {
  const options = { name: "paused.bin", length: 12 * MIB, chunk: MIB };
  await call("begin", options);
  await uploaded("paused.bin", page, 2 * MIB);
  await call("pause");
  same((await call("read", options)).status, 400, "status while it is paused");
  await call("resume");
  same(await page.evaluate(() => window.ended), whole, "end");
  same(await call("read", options), found, "read");
});

await group("uppy: the network goes away and comes back", async () => {
  const options = { name: "offline.bin", length: 12 * MIB, chunk: MIB / 4 };
  requests.length = 0;
  await call("begin", options);
  await uploaded("offline.bin", page, 2 * MIB);
  const broken = context.waitForEvent("requestfailed", (request) => request.url().includes("/upload/resumable"));
  await context.setOffline(true);
  await broken;
  await context.setOffline(false);
  same(await page.evaluate(() => window.ended), whole, "end");
  same(requests.filter((method) => method === "POST").length, 1, "uploads begun");
  same(requests.includes("HEAD"), true, "question how far it had come");
  same(await call("read", options), found, "read");
});

await group("uppy: a page that is closed, and the same file in another", async () => {
  const options = { name: "closed.bin", length: 16 * MIB, chunk: MIB };
  const first = await open();
  await first.evaluate((options) => { window.page.begin(options); }, { base, token: service, bucket, ...options });
  await uploaded("closed.bin", first, 3 * MIB);
  await first.close();
  requests.length = 0;
  same(await call("upload", options), whole, "end");
  same(requests.filter((method) => ["POST", "HEAD"].includes(method)), ["HEAD"], "how it was gone on with");
  same(requests.filter((method) => method === "PATCH").length <= 14, true, "chunks sent again");
  same(await call("read", options), found, "read");
});

await group("uppy: what is refused", async () => {
  const anon = await call("upload", { token: token({ role: "anon" }), name: "anon.bin", length: MIB, retries: [] });
  same([anon.successful, anon.failed.length, /403|row-level|Unauthorized|AccessDenied/i.test(anon.failed[0])], [0, 1, true], `upload of anon (${anon.failed})`);
  same((await call("read", { name: "anon.bin", length: MIB })).status, 400, "status");
});

await group("pictures: public, and made smaller", async () => {
  const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAIAAAAmkwkpAAAAEElEQVR4nGP4z8AARwzEcQCukw/x0F8jngAAAABJRU5ErkJggg==";
  const { error } = await storage.from(bucket).upload("pixel.png", Buffer.from(pixel, "base64"), { contentType: "image/png" });
  if (error) throw error;
  const width = (path) => page.evaluate((src) => window.page.picture(src), `${base}/${path}/${bucket}/pixel.png`);
  same(await width("object/public"), 4, "width");
  same(await page.evaluate((src) => window.page.picture(src), `${base}/render/image/public/${bucket}/pixel.png?width=2`), 2, "width asked for");
});

await group("afterwards: the bucket is emptied and deleted", async () => {
  for (const answer of [await storage.emptyBucket(bucket), await storage.deleteBucket(bucket)]) {
    if (answer.error) throw answer.error;
  }
});

await close();
end();
