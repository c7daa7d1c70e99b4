#!/usr/bin/env python3
"""s5cmd: many streams at once, wildcards, sync."""
import json
import os

from harness import (ENDPOINT, REGION, bucket_name, expect, large_file, need, refuse, run, same, same_file, same_tree,
                     session, sizes, source_tree)

CLIENT = "s5cmd"
need(CLIENT, "s5cmd")
BUCKET = bucket_name(CLIENT)


def s5(*words, how=run):
    return how("s5cmd", "--endpoint-url", ENDPOINT, "--retry-count", "2", *words)


def listed(prefix):
    """Key below the prefix to size; one JSON object a line, without a size where that is 0."""
    start = f"s3://{BUCKET}/{prefix}"
    entries = [json.loads(line) for line in s5("--json", "ls", start + "*").splitlines()]
    return {entry["key"].removeprefix(start): entry.get("size", 0) for entry in entries}


with session(CLIENT) as (report, work):
    os.environ.update(AWS_REGION=REGION, AWS_EC2_METADATA_DISABLED="true", AWS_CONFIG_FILE=os.devnull)
    # The program reads * ? [ and \ in a name as a pattern, in sources and in keys alike.
    source, out = source_tree(os.path.join(work, "source"), without="*?[\\"), os.path.join(work, "out")

    with report.group("mb", needed=True):
        s5("mb", f"s3://{BUCKET}")
        expect(f"s3://{BUCKET}" in s5("ls"), "the bucket is not listed")

    with report.group("cp of a large file up and down"):
        large = large_file(os.path.join(work, "large"))
        s5("cp", "--part-size", "5", "--concurrency", "8", large, f"s3://{BUCKET}/large")
        s5("cp", "--part-size", "5", "--concurrency", "8", f"s3://{BUCKET}/large", large + ".down")
        same_file(large + ".down", large)
        os.remove(large)
        os.remove(large + ".down")

    with report.group("cp of a tree up and by wildcard down"):
        s5("cp", source + "/", f"s3://{BUCKET}/tree/")
        s5("cp", f"s3://{BUCKET}/tree/*", out + "/")
        same_tree(out, source)

    with report.group("ls equals the source"):
        same(listed("tree/"), sizes(source), "listing")

    with report.group("sync twice moves nothing the second time"):
        expect(s5("sync", source + "/", f"s3://{BUCKET}/sync/"), "the first sync moved nothing")
        same(s5("sync", source + "/", f"s3://{BUCKET}/sync/"), "", "second sync")
        same(listed("sync/"), sizes(source), "listing")

    with report.group("cp and mv on the server"):
        s5("cp", f"s3://{BUCKET}/tree/with space.txt", f"s3://{BUCKET}/moved/one")
        s5("mv", f"s3://{BUCKET}/moved/one", f"s3://{BUCKET}/moved/two")
        s5("cp", f"s3://{BUCKET}/moved/two", os.path.join(work, "two"))
        same_file(os.path.join(work, "two"), os.path.join(source, "with space.txt"))
        same(list(listed("moved/")), ["two"], "listing")

    with report.group("rm by wildcard"):
        s5("rm", f"s3://{BUCKET}/tree/dir*")
        same(listed("tree/"), {n: s for n, s in sizes(source).items() if not n.startswith("dir")}, "listing")

    with report.group("rm of all and rb"):
        s5("rm", f"s3://{BUCKET}/*")
        expect("no object found" in s5("ls", f"s3://{BUCKET}/*", how=refuse), "something is left")
        s5("rb", f"s3://{BUCKET}")
        expect(f"s3://{BUCKET}\n" not in s5("ls"), "the bucket is still listed")
