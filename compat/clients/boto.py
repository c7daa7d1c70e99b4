#!/usr/bin/env python3
"""boto3: transfers, paginators, checksums, conditions, ranges, copies, presigned URLs and multipart by hand."""
import hashlib
import io
import os
import urllib.error
import urllib.request

from harness import (ACCESS_KEY, ALGORITHMS, ENDPOINT, MIB, REGION, SECRET_KEY, SKIPPED, Failure, bucket_name, checksum,
                     expect, large_file, same, same_file, session)

CLIENT = "boto3"
try:
    import boto3
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config
    from botocore.exceptions import ClientError
except ImportError as missing:
    print(f"SKIP {CLIENT}: no Python module {missing.name}")
    raise SystemExit(SKIPPED) from None

BUCKET = bucket_name(CLIENT)
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
s3 = boto3.client("s3", endpoint_url=ENDPOINT, region_name=REGION, aws_access_key_id=ACCESS_KEY,
                  aws_secret_access_key=SECRET_KEY,
                  config=Config(s3={"addressing_style": "path"}, signature_version="s3v4", read_timeout=60,
                                retries={"max_attempts": 1}))


def refused(status, code, call, **arguments):
    """The call must fail with this status and, if one is given, this error code."""
    try:
        call(**arguments)
    except ClientError as error:
        got = (error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"])
        same(got, (status, code or got[1]), f"answer of {call.__name__}")
        return
    raise Failure(f"{call.__name__} succeeded, wanted {status} {code}")


def read(key, **arguments):
    return s3.get_object(Bucket=BUCKET, Key=key, **arguments)["Body"].read()


def put(key, body, **arguments):
    return s3.put_object(Bucket=BUCKET, Key=key, Body=body, **arguments)


def fetch(url, method="GET", body=None):
    headers = {"Content-Type": "application/octet-stream"} if body else {}
    request = urllib.request.Request(url, data=body, method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def pages(operation, prefix="", size=7, **arguments):
    found, prefixes = [], []
    for page in s3.get_paginator(operation).paginate(Bucket=BUCKET, Prefix=prefix, PaginationConfig={"PageSize": size},
                                                     **arguments):
        entries, below = page.get("Contents", []), page.get("CommonPrefixes", [])
        expect(len(entries) + len(below) <= size, "a page is larger than asked")
        found += [entry["Key"] for entry in entries]
        prefixes += [entry["Prefix"] for entry in below]
    return found, prefixes


def multipart_by_hand():
    """Three parts, the second one copied from another object by range; listed, completed, compared."""
    key, first, last = "parts/whole", os.urandom(5 * MIB), os.urandom(12345)
    middle = os.urandom(6 * MIB)
    put("parts/source +1", middle)
    upload = s3.create_multipart_upload(Bucket=BUCKET, Key=key, ContentType="text/x-parts", Metadata={"by": "hand"})
    at = {"Bucket": BUCKET, "Key": key, "UploadId": upload["UploadId"]}
    parts = [s3.upload_part(**at, PartNumber=1, Body=b"replaced" * 1000)]
    parts = [s3.upload_part(**at, PartNumber=1, Body=first)["ETag"]]
    parts.append(s3.upload_part_copy(**at, PartNumber=2, CopySource={"Bucket": BUCKET, "Key": "parts/source +1"},
                                     CopySourceRange=f"bytes=1-{5 * MIB}")["CopyPartResult"]["ETag"])
    parts.append(s3.upload_part(**at, PartNumber=7, Body=last)["ETag"])
    listed = [(part["PartNumber"], part["Size"], part["ETag"]) for page in s3.get_paginator("list_parts").paginate(
        **at, PaginationConfig={"PageSize": 1}) for part in page.get("Parts", [])]
    same(listed, list(zip((1, 2, 7), (5 * MIB, 5 * MIB, len(last)), parts)), "list of parts")
    uploads = s3.list_multipart_uploads(Bucket=BUCKET, Prefix="parts/").get("Uploads", [])
    same([(u["Key"], u["UploadId"]) for u in uploads], [(key, upload["UploadId"])], "list of uploads")
    refused(404, None, s3.head_object, Bucket=BUCKET, Key=key)
    sent = [{"PartNumber": number, "ETag": etag} for number, etag in zip((1, 2, 7), parts)]
    refused(400, "InvalidPartOrder", s3.complete_multipart_upload, **at, MultipartUpload={"Parts": [sent[1], sent[0], sent[2]]})
    refused(400, "InvalidPart", s3.complete_multipart_upload, **at,
            MultipartUpload={"Parts": [sent[0], {"PartNumber": 3, "ETag": parts[0]}]})
    done = s3.complete_multipart_upload(**at, MultipartUpload={"Parts": sent})
    digests = b"".join(bytes.fromhex(etag.strip('"')) for etag in parts)
    same(done["ETag"], f'"{hashlib.md5(digests).hexdigest()}-3"', "ETag")
    same(hashlib.sha256(read(key)).hexdigest(), hashlib.sha256(first + middle[1:5 * MIB + 1] + last).hexdigest(), "bytes")
    head = s3.head_object(Bucket=BUCKET, Key=key)
    same((head["ContentType"], head["Metadata"], head["ETag"]), ("text/x-parts", {"by": "hand"}, done["ETag"]), "HEAD")
    same(read(key, PartNumber=3), last, "bytes of the third part")


def aborted_upload():
    key = "parts/aborted"
    at = {"Bucket": BUCKET, "Key": key,
          "UploadId": s3.create_multipart_upload(Bucket=BUCKET, Key=key)["UploadId"]}
    etag = s3.upload_part(**at, PartNumber=1, Body=b"x" * 100)["ETag"]
    s3.abort_multipart_upload(**at)
    refused(404, "NoSuchUpload", s3.upload_part, **at, PartNumber=2, Body=b"y")
    refused(404, "NoSuchUpload", s3.complete_multipart_upload, **at,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})
    same(s3.list_multipart_uploads(Bucket=BUCKET, Prefix=key).get("Uploads", []), [], "list of uploads")
    refused(404, None, s3.head_object, Bucket=BUCKET, Key=key)


def conditional_writes():
    put("cond", b"one", IfNoneMatch="*")
    refused(412, "PreconditionFailed", put_cond, IfNoneMatch="*")
    etag = s3.head_object(Bucket=BUCKET, Key="cond")["ETag"]
    refused(412, "PreconditionFailed", put_cond, IfMatch='"0123456789abcdef0123456789abcdef"')
    same(read("cond"), b"one", "bytes after refused writes")
    put("cond", b"two", IfMatch=etag)
    same(read("cond"), b"two", "bytes after a matching write")
    refused(404, "NoSuchKey", s3.put_object, Bucket=BUCKET, Key="cond-missing", Body=b"x", IfMatch=etag)
    refused(412, None, s3.get_object, Bucket=BUCKET, Key="cond", IfMatch=etag)
    now = s3.head_object(Bucket=BUCKET, Key="cond")["ETag"]
    refused(304, None, s3.get_object, Bucket=BUCKET, Key="cond", IfNoneMatch=now)
    same(read("cond", IfMatch=now), b"two", "bytes of a conditional read")


def put_cond(**arguments):
    put("cond", b"refused", **arguments)


def ranges():
    data = os.urandom(100_000)
    put("ranged", data)
    for text, wanted in (("0-0", data[:1]), ("10-99", data[10:100]), ("99990-", data[99990:]), ("-7", data[-7:]),
                         ("-200000", data), ("99999-500000", data[99999:])):
        answer = s3.get_object(Bucket=BUCKET, Key="ranged", Range=f"bytes={text}")
        same(answer["Body"].read(), wanted, f"range {text}")
        same(answer["ResponseMetadata"]["HTTPStatusCode"], 206, f"status of {text}")
        same(answer["ContentRange"].split("/")[1], "100000", f"length in Content-Range of {text}")
    refused(416, "InvalidRange", s3.get_object, Bucket=BUCKET, Key="ranged", Range="bytes=100000-")


def checksums():
    data = b"summed " * 5000
    for algorithm in ALGORITHMS:
        field, value = f"Checksum{algorithm}", checksum(algorithm, data)
        key = f"sums/{algorithm}"
        refused(400, "BadDigest", s3.put_object, Bucket=BUCKET, Key=key, Body=data,
                **{field: checksum(algorithm, b"another")})
        refused(404, None, s3.head_object, Bucket=BUCKET, Key=key)
        put(key, data, **{field: value})
        same(s3.head_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED").get(field), value, algorithm)
    for algorithm in ("CRC32", "SHA1", "SHA256"):  # The client sends these by itself, as a trailer.
        put("sums/trailer", io.BytesIO(data), ChecksumAlgorithm=algorithm)
        same(read("sums/trailer", ChecksumMode="ENABLED"), data, f"bytes with a {algorithm} trailer")
        head = s3.head_object(Bucket=BUCKET, Key="sums/trailer", ChecksumMode="ENABLED")
        same(head.get(f"Checksum{algorithm}"), checksum(algorithm, data), f"{algorithm} of a trailer")


def odd_keys():
    """Keys that no directory tree can hold, beside those that one can."""
    keys = ["odd/a", "odd/a/b", "odd/dir/", "odd/x//y", "odd/../up", "odd/./here", "odd/plus+ %25#?&=", "odd/\u00fc",
            "odd/e\u0301", "odd/\U0001f600", "odd/" + "k" * 1000]
    for key in keys:
        put(key, key.encode())
    same(pages("list_objects_v2", "odd/")[0], sorted(keys, key=str.encode), "listing")
    for key in keys:
        same(read(key), key.encode(), f"bytes of {key[:20]}")
        s3.delete_object(Bucket=BUCKET, Key=key)
    same(pages("list_objects_v2", "odd/")[0], [], "what is left")


def paginators():
    keys = [f"page/{'abcdefghij'[n % 10]}/{n:03}" for n in range(90)] + [f"page/top{n}" for n in range(10)]
    for key in keys:
        put(key, key.encode())
    keys.sort()
    for operation in ("list_objects_v2", "list_objects"):
        same(pages(operation, "page/")[0], keys, operation)
        same(pages(operation, "page/", Delimiter="/"), ([f"page/top{n}" for n in range(10)],
             [f"page/{letter}/" for letter in "abcdefghij"]), f"{operation} with a delimiter")
    same(pages("list_objects_v2", "page/", StartAfter="page/e/044")[0], [k for k in keys if k > "page/e/044"], "start-after")
    entry = s3.list_objects_v2(Bucket=BUCKET, Prefix="page/top3")["Contents"][0]
    same((entry["Size"], entry["ETag"]), (9, f'"{hashlib.md5(b"page/top3").hexdigest()}"'), "entry")


def copies():
    data = os.urandom(70_000)
    put("copy/from +%20ü", data, ContentType="text/x-from", Metadata={"kept": "yes"})
    source = {"Bucket": BUCKET, "Key": "copy/from +%20ü"}
    s3.copy_object(Bucket=BUCKET, Key="copy/same", CopySource=source)
    head = s3.head_object(Bucket=BUCKET, Key="copy/same")
    same((head["ContentType"], head["Metadata"]), ("text/x-from", {"kept": "yes"}), "metadata of a copy")
    s3.copy_object(Bucket=BUCKET, Key="copy/new", CopySource=source, MetadataDirective="REPLACE",
                   ContentType="text/x-new", Metadata={"new": "1"})
    head = s3.head_object(Bucket=BUCKET, Key="copy/new")
    same((head["ContentType"], head["Metadata"]), ("text/x-new", {"new": "1"}), "replaced metadata")
    for key in ("copy/same", "copy/new"):
        same(hashlib.sha256(read(key)).hexdigest(), hashlib.sha256(data).hexdigest(), f"bytes of {key}")
    refused(404, "NoSuchKey", s3.copy_object, Bucket=BUCKET, Key="copy/x", CopySource={"Bucket": BUCKET, "Key": "no"})
    refused(412, "PreconditionFailed", s3.copy_object, Bucket=BUCKET, Key="copy/x", CopySource=source,
            CopySourceIfMatch='"0123456789abcdef0123456789abcdef"')


def presigned():
    at = {"Bucket": BUCKET, "Key": "presigned/a b+c"}
    url = s3.generate_presigned_url("put_object", Params=at, ExpiresIn=60)
    fetch(url, "PUT", b"sent by URL")
    same(read(at["Key"]), b"sent by URL", "bytes that a URL put")
    url = s3.generate_presigned_url("get_object", Params={**at, "ResponseContentType": "text/x-asked"}, ExpiresIn=60)
    same(fetch(url), b"sent by URL", "bytes that a URL got")
    try:
        fetch(url.replace("a%20b", "a%20c"))
    except urllib.error.HTTPError as error:
        same(error.code, 403, "status of a URL for another key")
    else:
        raise Failure("a URL for another key was served")


def metadata():
    put("facts", b"x", ContentType="text/x-t", CacheControl="no-cache", ContentDisposition='attachment; filename="a b"',
        ContentLanguage="de", ContentEncoding="x-none", Metadata={"a": "1", "b-c": "two words"})
    head = s3.head_object(Bucket=BUCKET, Key="facts")
    same({k: head.get(k) for k in ("ContentType", "CacheControl", "ContentDisposition", "ContentLanguage",
                                   "ContentEncoding", "Metadata")},
         {"ContentType": "text/x-t", "CacheControl": "no-cache", "ContentDisposition": 'attachment; filename="a b"',
          "ContentLanguage": "de", "ContentEncoding": "x-none", "Metadata": {"a": "1", "b-c": "two words"}}, "facts")


def tags():
    """A server that does not keep tags must say so, and store nothing: an object without its tags is another object."""
    try:
        put("tagged", b"x", Tagging="k=v&k2=v%202")
    except s3.exceptions.ClientError as error:
        same(error.response["Error"]["Code"], "NotImplemented", "code")
        same(pages("list_objects_v2", "tagged")[0], [], "listing")
        return
    found = s3.get_object_tagging(Bucket=BUCKET, Key="tagged")["TagSet"]
    same({tag["Key"]: tag["Value"] for tag in found}, {"k": "v", "k2": "v 2"}, "tags")


def attributes():
    data = b"attributes" * 100
    put("attributes", data, ChecksumSHA256=checksum("SHA256", data))
    got = s3.get_object_attributes(Bucket=BUCKET, Key="attributes", ObjectAttributes=["ETag", "Checksum", "ObjectSize"])
    same((got["ETag"], got["ObjectSize"]), (hashlib.md5(data).hexdigest(), len(data)), "ETag and size")
    same(got["Checksum"]["ChecksumSHA256"], checksum("SHA256", data), "checksum")


def deletes():
    keys = [f"delete/{n}" for n in range(20)] + ["delete/a b&<c>"]
    for key in keys:
        put(key, b"x")
    asked = {"Objects": [{"Key": key} for key in keys + ["delete/missing"]]}
    answer = s3.delete_objects(Bucket=BUCKET, Delete=asked)
    same(sorted(d["Key"] for d in answer.get("Deleted", [])), sorted(keys + ["delete/missing"]), "answer")
    same(pages("list_objects_v2", "delete/")[0], [], "what is left")
    put(keys[0], b"x")
    answer = s3.delete_objects(Bucket=BUCKET, Delete={**asked, "Quiet": True})
    same((answer.get("Deleted", []), answer.get("Errors", [])), ([], []), "quiet answer")


def remove_bucket():
    put("last", b"x")
    refused(409, "BucketNotEmpty", s3.delete_bucket, Bucket=BUCKET)
    keys = pages("list_objects_v2", size=1000)[0]
    for start in range(0, len(keys), 1000):
        s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys[start:start + 1000]]})
    s3.delete_bucket(Bucket=BUCKET)
    refused(404, None, s3.head_bucket, Bucket=BUCKET)


with session(CLIENT) as (report, work):
    with report.group("create and list the bucket", needed=True):
        s3.create_bucket(Bucket=BUCKET)
        s3.head_bucket(Bucket=BUCKET)
        expect(BUCKET in [b["Name"] for b in s3.list_buckets()["Buckets"]], "the bucket is not listed")

    with report.group("upload_fileobj and download_fileobj in parts"):
        large, parts = large_file(os.path.join(work, "large")), TransferConfig(8 * MIB, multipart_chunksize=8 * MIB)
        with open(large, "rb") as file:
            s3.upload_fileobj(file, BUCKET, "large", Config=parts)
        with open(large + ".down", "wb") as file:
            s3.download_fileobj(BUCKET, "large", file, Config=parts)
        same_file(large + ".down", large)
        count = -(-os.path.getsize(large) // (8 * MIB))
        expect(s3.head_object(Bucket=BUCKET, Key="large")["ETag"].endswith(f'-{count}"'), "the ETag does not count the parts")
        os.remove(large)
        os.remove(large + ".down")

    for what, check in (
            ("paginators: 100 keys in pages of 7", paginators), ("keys that are no paths", odd_keys),
            ("metadata and headers", metadata), ("tags are kept or refused", tags), ("checksums", checksums),
            ("conditional writes and reads", conditional_writes), ("ranges", ranges), ("copies", copies),
            ("presigned PUT and GET", presigned), ("get_object_attributes", attributes),
            ("multipart by hand", multipart_by_hand), ("abort of an upload", aborted_upload),
            ("delete_objects", deletes), ("delete the bucket", remove_bucket)):
        with report.group(what):
            check()
