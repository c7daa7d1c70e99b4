#!/usr/bin/env python3
"""s3cmd: the old client, path style, multipart, MD5 by ETag, sync."""
import os
import re
import urllib.parse

from harness import (ACCESS_KEY, ENDPOINT, REGION, SECRET_KEY, bucket_name, expect, large_file, need, refuse, run, same,
                     same_file, same_tree, session, sizes, source_tree)

CLIENT = "s3cmd"
need(CLIENT, "s3cmd")
BUCKET = bucket_name(CLIENT)


def s3cmd(*words, how=run):
    return how("s3cmd", "-c", config, "--host-bucket", "", "--no-progress", *words)


def listed(prefix):
    """Key below the prefix to size: date, time, size, two spaces, the address."""
    start, found = f"s3://{BUCKET}/{prefix}", {}
    for line in s3cmd("ls", "--recursive", start).splitlines():
        size, address = re.match(r"\S+ \S+ +(\d+)  (.*)$", line).groups()
        found[address.removeprefix(start)] = int(size)
    return found


with session(CLIENT) as (report, work):
    config = os.path.join(work, "s3cfg")
    place = urllib.parse.urlsplit(ENDPOINT)
    with open(config, "w") as file:
        file.write(f"[default]\naccess_key = {ACCESS_KEY}\nsecret_key = {SECRET_KEY}\nhost_base = {place.netloc}\n"
                   f"use_https = {place.scheme == 'https'}\nbucket_location = {REGION}\nmax_retries = 2\n")
    source, out = source_tree(os.path.join(work, "source")), os.path.join(work, "out")
    os.makedirs(out)

    with report.group("mb", needed=True):
        s3cmd("mb", f"s3://{BUCKET}")
        expect(f"s3://{BUCKET}" in s3cmd("ls"), "the bucket is not listed")

    with report.group("put in parts and get"):
        large = large_file(os.path.join(work, "large"))
        s3cmd("put", "--multipart-chunk-size-mb=5", large, f"s3://{BUCKET}/large +file")
        s3cmd("get", f"s3://{BUCKET}/large +file", large + ".down")
        same_file(large + ".down", large)
        os.remove(large)
        os.remove(large + ".down")

    with report.group("put and get of a tree"):
        s3cmd("put", "--recursive", source + "/", f"s3://{BUCKET}/tree/")
        s3cmd("get", "--recursive", f"s3://{BUCKET}/tree/", out + "/")
        same_tree(out, source)

    with report.group("ls equals the source"):
        same(listed("tree/"), sizes(source), "listing")

    with report.group("sync twice moves nothing the second time"):
        expect("upload:" in s3cmd("sync", source + "/", f"s3://{BUCKET}/sync/"), "the first sync moved nothing")
        expect("upload:" not in s3cmd("sync", source + "/", f"s3://{BUCKET}/sync/"), "the second sync moved files")
        same(listed("sync/"), sizes(source), "listing")

    with report.group("info"):
        said = s3cmd("info", f"s3://{BUCKET}/tree/plus+sign")
        size = os.path.getsize(os.path.join(source, "plus+sign"))
        expect(re.search(rf"File size:\s+{size}\b", said), f"no size {size} in {said!r}")
        expect(re.search(r"MD5 sum:\s+[0-9a-f]{32}\b", said), "no MD5")
        s3cmd("info", f"s3://{BUCKET}")

    with report.group("cp and mv on the server"):
        s3cmd("cp", f"s3://{BUCKET}/tree/with space.txt", f"s3://{BUCKET}/moved/one +1")
        s3cmd("mv", f"s3://{BUCKET}/moved/one +1", f"s3://{BUCKET}/moved/two")
        s3cmd("get", f"s3://{BUCKET}/moved/two", os.path.join(work, "two"))
        same_file(os.path.join(work, "two"), os.path.join(source, "with space.txt"))
        same(list(listed("moved/")), ["two"], "listing")

    with report.group("del"):
        s3cmd("del", f"s3://{BUCKET}/tree/plus+sign")
        same(listed("tree/"), {n: s for n, s in sizes(source).items() if n != "plus+sign"}, "listing")
        s3cmd("del", "--recursive", "--force", f"s3://{BUCKET}/")
        same(listed(""), {}, "what is left")

    with report.group("rb"):
        s3cmd("rb", f"s3://{BUCKET}")
        s3cmd("ls", f"s3://{BUCKET}", how=refuse)
