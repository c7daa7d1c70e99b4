// What the page of check.mjs does with the clients, called from there: each function gives what the page saw.
import { StorageClient } from "@supabase/storage-js";
import Uppy from "@uppy/core";
import Tus from "@uppy/tus";

/** The same bytes again for the same length: no two blocks of 64 KiB alike. */
function content(length) {
  const bytes = new Uint8Array(length);
  let state = length | 1;
  for (let at = 0; at < length; at += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

const digest = async (bytes) =>
  [...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

let uppy;

/** Begins an upload by Uppy; `settle` in the page tells how it ended. */
function begin({ base, token, bucket, name, length, chunk, retries = [0, 500, 1000] }) {
  uppy = new Uppy({ autoProceed: false });
  uppy.use(Tus, {
    endpoint: `${base}/upload/resumable`, headers: { authorization: `Bearer ${token}` }, chunkSize: chunk ?? Infinity,
    retryDelays: retries, allowedMetaFields: ["bucketName", "objectName", "contentType", "cacheControl"],
  });
  // The same file for Uppy whenever it is chosen again.
  const data = new File([content(length)], name, { type: "application/x-page", lastModified: 1_700_000_000_000 });
  const id = uppy.addFile({ name, type: data.type, data, source: "page" });
  uppy.setFileMeta(id, { bucketName: bucket, objectName: name, contentType: "application/x-page", cacheControl: "60" });
  window.progressed = 0;
  uppy.on("upload-progress", (_, { bytesUploaded }) => { window.progressed = bytesUploaded; });
  window.ended = uppy.upload().then(({ successful, failed }) => ({
    successful: successful.length, failed: failed.map((file) => String(file.error)),
  }));
}

/** An upload from its begin to its end. */
async function upload(options) {
  begin(options);
  return await window.ended;
}

/** What storage-js does from a page: a file of a form, its bytes back, a listing. */
async function storage({ base, token, bucket, length }) {
  const client = new StorageClient(base, { Authorization: `Bearer ${token}` }).from(bucket);
  const file = new File([content(length)], "form.bin", { type: "application/x-page" });
  const put = await client.upload("from/page.bin", file, { contentType: file.type });
  const got = await client.download("from/page.bin");
  const list = await client.list("from");
  const gone = await client.download("from/none.bin");
  return {
    put: put.error?.message ?? put.data.path, listed: list.data?.map((entry) => entry.name), gone: gone.error?.name ?? "found",
    equal: (await digest(await got.data.arrayBuffer())) === (await digest(content(length))),
  };
}

/** Whether an object has the bytes that this page makes for that length, and of which type it is. */
async function read({ base, token, bucket, name, length }) {
  const answer = await fetch(`${base}/object/authenticated/${bucket}/${name}`, { headers: { authorization: `Bearer ${token}` } });
  const bytes = await answer.arrayBuffer();
  return {
    status: answer.status, type: answer.headers.get("content-type"),
    equal: answer.status === 200 && (await digest(bytes)) === (await digest(content(length))),
  };
}

/** The width of a picture that an <img> shows. */
const picture = (src) => new Promise((shown) => {
  const image = new Image();
  image.onload = () => shown(image.naturalWidth);
  image.onerror = () => shown(0);
  image.src = src;
});

window.page = { begin, upload, storage, read, picture, pause: () => uppy.pauseAll(), resume: () => uppy.resumeAll() };
