#!/usr/bin/env python3
"""obstore, the object_store library of Rust for Python: puts in parts, modes of a put, ranges, listings."""
import datetime
import os

from harness import (ACCESS_KEY, ENDPOINT, MIB, REGION, SECRET_KEY, SKIPPED, Failure, bucket_name, execute, large_file,
                     same, same_file, session)

CLIENT = "obstore"
try:
    import boto3
    import obstore
    from obstore.exceptions import AlreadyExistsError, PreconditionError
    from obstore.store import S3Store
except ImportError as missing:
    print(f"SKIP {CLIENT}: no Python module {missing.name}")
    raise SystemExit(SKIPPED) from None

BUCKET = bucket_name(CLIENT)
# A store is within a bucket, so another program makes that.
s3 = boto3.client("s3", endpoint_url=ENDPOINT, region_name=REGION, aws_access_key_id=ACCESS_KEY,
                  aws_secret_access_key=SECRET_KEY)
store = S3Store(BUCKET, endpoint=ENDPOINT, region=REGION, access_key_id=ACCESS_KEY, secret_access_key=SECRET_KEY,
                virtual_hosted_style_request=False, client_options={"allow_http": True})


def read(path, **options):
    return bytes(obstore.get(store, path, **options).bytes())


def refused(error, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except error:
        return
    except FileNotFoundError as other:
        raise Failure(f"{type(other).__name__} instead of {error.__name__}: {other}") from None
    raise Failure(f"{call.__name__} succeeded, wanted {error.__name__}")


def objects():
    data = os.urandom(100_000)
    obstore.put(store, "dir/a b+ü", data, attributes={"Content-Type": "text/x-a", "kept": "yes"})
    answer = obstore.get(store, "dir/a b+ü")
    same((answer.attributes.get("Content-Type"), answer.attributes.get("kept")), ("text/x-a", "yes"), "attributes")
    same(bytes(answer.bytes()), data, "bytes")
    same(bytes(obstore.get_range(store, "dir/a b+ü", start=10, end=99)), data[10:99], "bytes of a range")
    ranges = obstore.get_ranges(store, "dir/a b+ü", starts=[0, 90_000], ends=[10, 100_000])
    same([bytes(part) for part in ranges], [data[:10], data[90_000:]], "bytes of two ranges")
    same(obstore.head(store, "dir/a b+ü")["size"], len(data), "size")
    refused(FileNotFoundError, obstore.get, store, "dir/none")
    obstore.copy(store, "dir/a b+ü", "dir/copy")
    same(read("dir/copy"), data, "bytes of a copy")
    obstore.rename(store, "dir/copy", "dir/renamed")
    same(read("dir/renamed"), data, "bytes after a rename")
    obstore.delete(store, ["dir/renamed", "dir/a b+ü"])
    same([entry["path"] for page in obstore.list(store, "dir") for entry in page], [], "what is left")


def modes():
    """Only where there is nothing, and only over what was seen: the two that table formats commit with."""
    first = obstore.put(store, "mode", b"one", mode="create")
    refused(AlreadyExistsError, obstore.put, store, "mode", b"two", mode="create")
    second = obstore.put(store, "mode", b"two", mode={"e_tag": first["e_tag"]})
    refused(PreconditionError, obstore.put, store, "mode", b"three", mode={"e_tag": first["e_tag"]})
    same((read("mode"), obstore.head(store, "mode")["e_tag"]), (b"two", second["e_tag"]), "what was written")
    refused(PreconditionError, read, "mode", options={"if_match": first["e_tag"]})


def parts(work):
    large = large_file(os.path.join(work, "large"), mib=33)
    with open(large, "rb") as file:
        obstore.put(store, "large", file, use_multipart=True, chunk_size=5 * MIB, max_concurrency=4)
    with open(large + ".down", "wb") as file:
        for block in obstore.get(store, "large").stream(min_chunk_size=MIB):
            file.write(block)
    same_file(large + ".down", large)
    with obstore.open_writer(store, "written", buffer_size=5 * MIB) as file:
        for _ in range(12):
            file.write(b"w" * MIB)
    same(obstore.head(store, "written")["size"], 12 * MIB, "size of what was written by and by")


def listings():
    keys = sorted(f"list/{'abcde'[n % 5]}/{n:03}" for n in range(60))
    for key in keys:
        obstore.put(store, key, key.encode())
    found = [(entry["path"], entry["size"]) for page in obstore.list(store, "list", chunk_size=7) for entry in page]
    same(sorted(found), [(key, len(key)) for key in keys], "listing")
    below = obstore.list_with_delimiter(store, "list")
    same(sorted(below["common_prefixes"]), [f"list/{letter}" for letter in "abcde"], "prefixes")
    after = [entry["path"] for page in obstore.list(store, "list", offset="list/c/032") for entry in page]
    same(sorted(after), [key for key in keys if key > "list/c/032"], "listing after an offset")


def signed():
    url = obstore.sign(store, "PUT", "signed", expires_in=datetime.timedelta(minutes=1))
    done = execute("curl", "-sSf", "-X", "PUT", "--data-binary", "by URL", url)
    same((done.returncode, done.stderr), (0, ""), "curl")
    same(read("signed"), b"by URL", "bytes that a URL put")


with session(CLIENT) as (report, work):
    with report.group("a bucket", needed=True):
        s3.create_bucket(Bucket=BUCKET)
    for what, check in (("objects, ranges, copies, renames", objects), ("modes of a put", modes),
                        ("listings", listings), ("signed URL", signed)):
        with report.group(what):
            check()
    with report.group("objects in parts"):
        parts(work)
    with report.group("delete the bucket"):
        obstore.delete(store, [entry["path"] for page in obstore.list(store) for entry in page])
        s3.delete_bucket(Bucket=BUCKET)
