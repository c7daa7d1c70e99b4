#!/usr/bin/env node
// @aws-sdk/client-s3, lib-storage and s3-request-presigner: default checksums, streams, pages, presigned URLs.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import {
  S3Client, CreateBucketCommand, HeadBucketCommand, ListBucketsCommand, PutObjectCommand, GetObjectCommand,
  HeadObjectCommand, DeleteObjectCommand, DeleteObjectsCommand, DeleteBucketCommand, CopyObjectCommand,
  GetObjectAclCommand, paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { report, same } from "../report.mjs";

const MIB = 1024 * 1024;
const env = process.env;
const largeMib = Number(env.COMPAT_LARGE_MIB ?? (env.COMPAT_BIG === "1" ? 3072 : 64));
const Bucket = `compat-js-${process.pid.toString(16)}-${Date.now().toString(16)}`;
const s3 = new S3Client({
  endpoint: env.S3_ENDPOINT, region: env.AWS_DEFAULT_REGION ?? "us-east-1", forcePathStyle: true, maxAttempts: 2,
  credentials: { accessKeyId: env.AWS_ACCESS_KEY_ID, secretAccessKey: env.AWS_SECRET_ACCESS_KEY },
});
const send = (Command, input) => s3.send(new Command({ Bucket, ...input }));
const put = (Key, Body, more) => send(PutObjectCommand, { Key, Body, ...more });
const read = async (Key, more) =>
  Buffer.from(await (await send(GetObjectCommand, { Key, ...more })).Body.transformToByteArray());

const { group, end } = report("js");

async function refused(status, call) {
  let answer;
  try { answer = await call(); } catch (error) {
    return same(error.$metadata?.httpStatusCode, status, `status of ${error.name}`);
  }
  throw new Error(`succeeded, wanted ${status}: ${JSON.stringify(answer)?.slice(0, 160)}`);
}

async function keys(Prefix, pageSize, more) {
  const found = [], prefixes = [];
  for await (const page of paginateListObjectsV2({ client: s3, pageSize }, { Bucket, Prefix, ...more })) {
    found.push(...(page.Contents ?? []).map((entry) => entry.Key));
    prefixes.push(...(page.CommonPrefixes ?? []).map((entry) => entry.Prefix));
  }
  return [found, prefixes];
}

// The same block over and over, each time with its number in front: a part in the wrong place is noticed.
async function* blocks(count, digest) {
  const block = randomBytes(MIB);
  for (let n = 0; n < count; n += 1) {
    const next = Buffer.from(block);
    next.writeUInt32BE(n);
    digest.update(next);
    yield next;
  }
}

await group("create and list the bucket", async () => {
  await send(CreateBucketCommand, {});
  await send(HeadBucketCommand, {});
  const names = (await s3.send(new ListBucketsCommand({}))).Buckets.map((bucket) => bucket.Name);
  assert(names.includes(Bucket), "the bucket is not listed");
});

await group("put, get and head with the default checksum", async () => {
  const body = randomBytes(100_000), Key = "plain/a b+c%20ü";
  const sent = await put(Key, body, { ContentType: "text/x-js", Metadata: { colour: "blue" } });
  same(sent.ETag, `"${createHash("md5").update(body).digest("hex")}"`, "ETag");
  same(await read(Key), body, "bytes");
  const head = await send(HeadObjectCommand, { Key });
  same([head.ContentLength, head.ContentType, head.Metadata, head.ETag],
    [body.length, "text/x-js", { colour: "blue" }, sent.ETag], "HEAD");
  await refused(404, () => send(HeadObjectCommand, { Key: "missing" }));
});

await group("each checksum algorithm", async () => {
  for (const ChecksumAlgorithm of ["CRC32", "CRC32C", "SHA1", "SHA256"]) {
    const body = randomBytes(20_000), Key = `sums/${ChecksumAlgorithm}`;
    await put(Key, body, { ChecksumAlgorithm });
    same(await read(Key, { ChecksumMode: "ENABLED" }), body, `bytes with ${ChecksumAlgorithm}`);
    const head = await send(HeadObjectCommand, { Key, ChecksumMode: "ENABLED" });
    assert(head[`Checksum${ChecksumAlgorithm}`], `HEAD has no ${ChecksumAlgorithm}`);
  }
  const body = Buffer.from("sum"), wanted = createHash("sha256").update(body).digest("base64");
  await put("sums/own", body, { ChecksumSHA256: wanted });
  same((await send(HeadObjectCommand, { Key: "sums/own", ChecksumMode: "ENABLED" })).ChecksumSHA256, wanted, "SHA-256");
  await refused(400, () => put("sums/wrong", body, { ChecksumSHA256: createHash("sha256").digest("base64") }));
  await refused(404, () => send(HeadObjectCommand, { Key: "sums/wrong" }));
});

await group("Upload of a stream in parts", async () => {
  const sent = createHash("sha256"), got = createHash("sha256");
  const Body = Readable.from(blocks(largeMib, sent), { objectMode: false });
  await new Upload({ client: s3, params: { Bucket, Key: "large", Body }, partSize: 5 * MIB, queueSize: 4 }).done();
  const answer = await send(GetObjectCommand, { Key: "large" });
  same(answer.ContentLength, largeMib * MIB, "size");
  for await (const chunk of answer.Body) got.update(chunk);
  same(got.digest("hex"), sent.digest("hex"), "sha256");
});

await group("pages of 7 over 100 keys", async () => {
  const wanted = Array.from({ length: 100 }, (_, n) => `page/${n % 10}/${String(n).padStart(3, "0")}`).sort();
  for (const key of wanted) await put(key, key);
  same((await keys("page/", 7))[0], wanted, "listing");
  same(await keys("page/", 7, { Delimiter: "/" }), [[], [..."0123456789"].map((n) => `page/${n}/`)], "prefixes");
});

await group("ranges and conditions", async () => {
  const body = randomBytes(50_000), Key = "ranged";
  await put(Key, body, { IfNoneMatch: "*" });
  await refused(412, () => put(Key, "other", { IfNoneMatch: "*" }));
  same(await read(Key), body, "bytes after a refused write");
  same(await read(Key, { Range: "bytes=100-199" }), body.subarray(100, 200), "range");
  same(await read(Key, { Range: "bytes=-9" }), body.subarray(-9), "suffix");
  await refused(416, () => read(Key, { Range: "bytes=50000-" }));
});

await group("copy", async () => {
  await put("copy/from +1", "copied", { Metadata: { kept: "yes" } });
  await send(CopyObjectCommand, { Key: "copy/to", CopySource: encodeURI(`${Bucket}/copy/from +1`).replace("+", "%2B") });
  same((await read("copy/to")).toString(), "copied", "bytes");
  same((await send(HeadObjectCommand, { Key: "copy/to" })).Metadata, { kept: "yes" }, "metadata");
});

await group("presigned PUT and GET", async () => {
  const Key = "signed/a b+c", body = randomBytes(5000);
  const to = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key }), { expiresIn: 60 });
  same((await fetch(to, { method: "PUT", body })).status, 200, "status of the PUT");
  const from = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key }), { expiresIn: 60 });
  same(Buffer.from(await (await fetch(from)).arrayBuffer()), body, "bytes");
  same((await fetch(from.replace("a%20b", "a%20c"))).status, 403, "status of a URL for another key");
});

await group("presigned PUT with a list and metadata, which the signer moves into the query", async () => {
  const Key = "signed/listed", Metadata = { colour: "dark blue" };
  const to = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key, ACL: "public-read", Metadata }), { expiresIn: 60 });
  assert(to.includes("x-amz-acl=public-read") && to.includes("x-amz-meta-colour="), to);
  same((await fetch(to.replace("public-read", "private"), { method: "PUT", body: "a" })).status, 403, "status of another list");
  same((await fetch(to, { method: "PUT", body: "a" })).status, 200, "status of the PUT");
  same((await send(HeadObjectCommand, { Key })).Metadata, Metadata, "metadata");
  const { Grants } = await send(GetObjectAclCommand, { Key });
  same(Grants.map((grant) => grant.Permission).sort(), ["FULL_CONTROL", "READ"], "grants");
});

await group("delete of one, of many, of the bucket", async () => {
  await send(DeleteObjectCommand, { Key: "ranged" });
  await refused(404, () => send(HeadObjectCommand, { Key: "ranged" }));
  await refused(409, () => send(DeleteBucketCommand, {}));
  const [all] = await keys("", 1000);
  await send(DeleteObjectsCommand, { Delete: { Objects: all.map((Key) => ({ Key })) } });
  same(await keys("", 1000), [[], []], "what is left");
  await send(DeleteBucketCommand, {});
  await refused(404, () => send(HeadBucketCommand, {}));
});

end();
