#!/usr/bin/env python3
"""s3fs, the file system of Python's data programs: files, trees, parts, ranges, listings that are not cached."""
import os
import sys

from harness import (ACCESS_KEY, ENDPOINT, MIB, REGION, SECRET_KEY, SKIPPED, Failure, bucket_name, expect, large_file,
                     same, same_file, same_tree, session, sizes, source_tree)

CLIENT = "s3fs"
# It wants a botocore of its own, which is not the one that the AWS CLI wants: they live apart.
sys.path.insert(0, os.path.join(sys.prefix, "s3fs"))
try:
    import s3fs
except ImportError as missing:
    print(f"SKIP {CLIENT}: no Python module {missing.name}")
    raise SystemExit(SKIPPED) from None

BUCKET = bucket_name(CLIENT)
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
fs = s3fs.S3FileSystem(key=ACCESS_KEY, secret=SECRET_KEY, endpoint_url=ENDPOINT, use_listings_cache=False,
                       client_kwargs={"region_name": REGION}, config_kwargs={"s3": {"addressing_style": "path"}})


def refused(error, call, *arguments, **named):
    try:
        call(*arguments, **named)
    except error:
        return
    raise Failure(f"{call.__name__} succeeded, wanted {error.__name__}")


def files():
    data = os.urandom(100_000)
    fs.pipe_file(f"{BUCKET}/dir/a b+ü", data)
    same(fs.cat_file(f"{BUCKET}/dir/a b+ü"), data, "bytes")
    same(fs.cat_file(f"{BUCKET}/dir/a b+ü", start=10, end=99), data[10:99], "bytes of a range")
    with fs.open(f"{BUCKET}/dir/a b+ü", "rb", block_size=4096) as file:
        file.seek(50_000)
        same(file.read(1000), data[50_000:51_000], "bytes after a seek")
    same(fs.info(f"{BUCKET}/dir/a b+ü")["size"], len(data), "size")
    same((fs.exists(f"{BUCKET}/dir"), fs.isdir(f"{BUCKET}/dir"), fs.exists(f"{BUCKET}/di")), (True, True, False), "exists")
    refused(FileNotFoundError, fs.cat_file, f"{BUCKET}/dir/none")
    fs.copy(f"{BUCKET}/dir/a b+ü", f"{BUCKET}/dir/copy")
    same(fs.cat_file(f"{BUCKET}/dir/copy"), data, "bytes of a copy")
    fs.rm_file(f"{BUCKET}/dir/copy")
    same(fs.ls(f"{BUCKET}/dir", detail=False), [f"{BUCKET}/dir/a b+ü"], "listing")


def parts(work):
    """Written in parts of 5 MiB as they fill up, and by many at once."""
    large = large_file(os.path.join(work, "large"), mib=17)
    with open(large, "rb") as source, fs.open(f"{BUCKET}/parts", "wb", block_size=5 * MIB) as file:
        while block := source.read(MIB):
            file.write(block)
    expect(fs.info(f"{BUCKET}/parts")["ETag"].endswith('-3"') or fs.info(f"{BUCKET}/parts")["ETag"].endswith('-4"'),
           "the ETag does not count the parts")
    fs.get_file(f"{BUCKET}/parts", large + ".down")
    same_file(large + ".down", large)
    fs.put_file(large, f"{BUCKET}/put", chunksize=5 * MIB)
    fs.get_file(f"{BUCKET}/put", large + ".down")
    same_file(large + ".down", large)


def exclusive():
    with fs.open(f"{BUCKET}/once", "xb") as file:
        file.write(b"first")
    # Some versions of it do not know the answer by its name.
    refused(OSError, fs.pipe_file, f"{BUCKET}/once", b"second", mode="create")
    same(fs.cat_file(f"{BUCKET}/once"), b"first", "bytes")


def trees(work):
    source, out = source_tree(os.path.join(work, "source"), without="*?[\\", count=120), os.path.join(work, "out")
    fs.put(source, f"{BUCKET}/tree", recursive=True)
    found = fs.find(f"{BUCKET}/tree", detail=True)
    same({name.removeprefix(f"{BUCKET}/tree/"): entry["size"] for name, entry in found.items()}, sizes(source), "listing")
    fs.get(f"{BUCKET}/tree/", out, recursive=True)
    same_tree(out, source)
    same(sorted(fs.glob(f"{BUCKET}/tree/dir1/**/*.bin")),
         sorted(name for name in found if name.startswith(f"{BUCKET}/tree/dir1/")), "names of a pattern")
    fs.rm(f"{BUCKET}/tree", recursive=True)
    same(fs.find(f"{BUCKET}/tree"), [], "what is left")


with session(CLIENT) as (report, work):
    with report.group("mkdir", needed=True):
        fs.mkdir(BUCKET)
        expect(BUCKET in fs.ls("", detail=False), "the bucket is not listed")
    with report.group("files, ranges, copies"):
        files()
    with report.group("files in parts"):
        parts(work)
    with report.group("files that must be new"):
        exclusive()
    with report.group("trees up, listed, down and removed"):
        trees(work)
    with report.group("rm of the bucket"):
        fs.rm(BUCKET, recursive=True)
        expect(not fs.exists(BUCKET), "the bucket is still there")
