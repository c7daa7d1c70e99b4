#!/usr/bin/env python3
"""The AWS command line: high-level s3 commands on a large file and on a tree, and s3api with checksums."""
import hashlib
import json
import os

from harness import (ALGORITHMS, ENDPOINT, REGION, bucket_name, checksum, execute, expect, large_file, need, refuse, run,
                     same, same_file, same_tree, session, sizes, source_tree)

CLIENT = "aws"
need(CLIENT, "aws", "curl")
BUCKET = bucket_name(CLIENT)


def aws(*words, how=run):
    return how("aws", "--endpoint-url", ENDPOINT, "--region", REGION, *words)


def api(*words, how=run):
    said = aws("s3api", *words, how=how)
    return json.loads(said) if how is run and said.strip() else said


def listed(prefix):
    """Key to size as `ls --recursive` prints them: date, time, size, one space, the key."""
    found = {}
    for line in aws("s3", "ls", "--recursive", f"s3://{BUCKET}/{prefix}").splitlines():
        _, _, rest = line.split(None, 2)
        size, key = rest.split(" ", 1)
        found[key] = int(size)
    return found


def put_with_checksum(work, algorithm):
    """The value is computed by us: the client's own CRC32C and CRC64NVME need a library that it may lack."""
    path, key = os.path.join(work, "sum.bin"), f"sums/{algorithm}"
    data = algorithm.encode() * 999
    with open(path, "wb") as file:
        file.write(data)
    option = "--checksum-" + algorithm.lower().replace("crc32c", "crc32-c").replace("crc64nvme", "crc64-nvme")
    value, wrong = checksum(algorithm, data), checksum(algorithm, data + b"x")
    put = ("put-object", "--bucket", BUCKET, "--key", key, "--body", path)
    expect("BadDigest" in api(*put, option, wrong, how=refuse), f"{algorithm}: a wrong value is not BadDigest")
    field = f"Checksum{algorithm}"
    same(api(*put, option, value).get(field), value, f"{algorithm} of the PUT")
    head = api("head-object", "--bucket", BUCKET, "--key", key, "--checksum-mode", "ENABLED")
    same(head.get(field), value, f"{algorithm} of the HEAD")


def empty_files(work):
    """An empty PUT that expects a 100 Continue needs that or a close: the program takes a final answer that came without
    for the answer to the next such request on the connection too, and waits for a body until the server hangs up."""
    directory, alone = os.path.join(work, "empty"), os.path.join(work, "config-alone")
    os.makedirs(directory)
    for number in range(8):
        with open(os.path.join(directory, f"{number:02}"), "wb") as file:
            file.write(b"x" * (number % 2))
    with open(os.environ["AWS_CONFIG_FILE"]) as common, open(alone, "w") as file:
        file.write(common.read() + "  max_concurrent_requests = 1\n")  # So that connections are used again.
    done = execute("aws", "--debug", "--endpoint-url", ENDPOINT, "--region", REGION, "s3", "cp", "--recursive", directory,
                   f"s3://{BUCKET}/empty/", env={"AWS_CONFIG_FILE": alone})
    expect(done.returncode == 0, f"exit code {done.returncode}")
    expect("Failed to parse headers" not in done.stderr, "an answer was misread after the PUT of an empty file")
    same(listed("empty/"), sizes(directory, "empty/"), "listing")


with session(CLIENT) as (report, work):
    config = os.path.join(work, "config")
    with open(config, "w") as file:
        # Without a signature version the program presigns by version 2 in us-east-1.
        file.write("[default]\ns3 =\n  addressing_style = path\n  signature_version = s3v4\n")
    os.environ.update(AWS_CONFIG_FILE=config, AWS_EC2_METADATA_DISABLED="true", AWS_PAGER="", AWS_MAX_ATTEMPTS="2")
    source, out = os.path.join(work, "source"), os.path.join(work, "out")
    source_tree(source)

    with report.group("mb", needed=True):
        aws("s3", "mb", f"s3://{BUCKET}")
        expect(BUCKET in aws("s3", "ls"), "the bucket is not listed")

    with report.group("cp of a large file up and down"):
        large = large_file(os.path.join(work, "large"))
        aws("s3", "cp", "--no-progress", large, f"s3://{BUCKET}/large file")
        aws("s3", "cp", "--no-progress", f"s3://{BUCKET}/large file", large + ".down")
        same_file(large + ".down", large)
        os.remove(large)
        os.remove(large + ".down")

    with report.group("cp --recursive of a tree up and down"):
        aws("s3", "cp", "--recursive", "--only-show-errors", source, f"s3://{BUCKET}/tree/")
        aws("s3", "cp", "--recursive", "--only-show-errors", f"s3://{BUCKET}/tree/", out)
        same_tree(out, source)

    with report.group("ls --recursive equals the source"):
        same(listed("tree/"), sizes(source, "tree/"), "listing")

    with report.group("ls of one level"):
        top = {name.split("/")[0] + "/" * ("/" in name) for name in sizes(source)}
        lines = aws("s3", "ls", f"s3://{BUCKET}/tree/").splitlines()
        got = {line.split("PRE ", 1)[1] if line.lstrip().startswith("PRE ")
               else line.split(None, 2)[2].split(" ", 1)[1] for line in lines}
        same(sorted(got), sorted(top), "level")

    with report.group("sync twice moves nothing the second time"):
        expect(aws("s3", "sync", "--no-progress", source, f"s3://{BUCKET}/sync/"), "the first sync moved nothing")
        same(aws("s3", "sync", "--no-progress", source, f"s3://{BUCKET}/sync/"), "", "second sync up")
        back = os.path.join(work, "back")
        aws("s3", "sync", "--only-show-errors", f"s3://{BUCKET}/sync/", back)
        same_tree(back, source)
        same(aws("s3", "sync", "--no-progress", f"s3://{BUCKET}/sync/", back), "", "second sync down")

    with report.group("empty files leave their connection in order"):
        empty_files(work)

    with report.group("a key beside keys below it"):
        wanted = {}
        for key in ("clash/a", "clash/a/b", "clash/a/b/c"):
            path = os.path.join(work, "clash")
            with open(path, "w") as file:
                file.write(f"bytes of {key}")
            aws("s3", "cp", "--no-progress", path, f"s3://{BUCKET}/{key}")
            wanted[key] = os.path.getsize(path)
        same(listed("clash/"), wanted, "listing")
        for key in wanted:
            same(aws("s3", "cp", f"s3://{BUCKET}/{key}", "-"), f"bytes of {key}", key)

    with report.group("cp and mv on the server"):
        aws("s3", "cp", "--no-progress", f"s3://{BUCKET}/tree/plus+sign", f"s3://{BUCKET}/moved/one two")
        aws("s3", "mv", "--no-progress", f"s3://{BUCKET}/moved/one two", f"s3://{BUCKET}/moved/three")
        aws("s3", "cp", "--no-progress", f"s3://{BUCKET}/moved/three", os.path.join(work, "three"))
        same_file(os.path.join(work, "three"), os.path.join(source, "plus+sign"))
        same(list(listed("moved/")), ["moved/three"], "listing")

    with report.group("presign and curl"):
        for name in ("plus+sign", "with space.txt", "日本語/ファイル.txt"):
            url = aws("s3", "presign", f"s3://{BUCKET}/tree/{name}").strip()
            run("curl", "-sS", "--fail", "-o", os.path.join(work, "presigned"), url)
            same_file(os.path.join(work, "presigned"), os.path.join(source, name))

    with report.group("put-object with each checksum algorithm"):
        for algorithm in ALGORITHMS:
            put_with_checksum(work, algorithm)

    with report.group("head-object"):
        path = os.path.join(source, "plus+sign")
        api("put-object", "--bucket", BUCKET, "--key", "head+me", "--body", path, "--content-type", "text/x-test",
            "--metadata", "colour=blue,size=xl", "--cache-control", "max-age=5")
        head = api("head-object", "--bucket", BUCKET, "--key", "head+me")
        with open(path, "rb") as file:
            etag = f'"{hashlib.md5(file.read()).hexdigest()}"'
        same((head["ContentLength"], head["ETag"]), (os.path.getsize(path), etag), "size and ETag")
        same((head["ContentType"], head.get("CacheControl")), ("text/x-test", "max-age=5"), "headers")
        same(head["Metadata"], {"colour": "blue", "size": "xl"}, "metadata")
        expect("404" in api("head-object", "--bucket", BUCKET, "--key", "missing", how=refuse), "missing key is not 404")

    with report.group("rm --recursive"):
        aws("s3", "rm", "--recursive", "--only-show-errors", f"s3://{BUCKET}")
        same(aws("s3api", "list-objects-v2", "--bucket", BUCKET, "--query", "Contents[].Key", "--output", "text").strip(),
             "None", "what is left")

    with report.group("rb"):
        aws("s3", "rb", f"s3://{BUCKET}")
        aws("s3", "ls", f"s3://{BUCKET}", how=refuse)
