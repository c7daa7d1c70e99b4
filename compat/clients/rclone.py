#!/usr/bin/env python3
"""rclone: copy, sync, check, listings, server-side moves and purge."""
import os
import shutil

from harness import (ACCESS_KEY, ENDPOINT, REGION, SECRET_KEY, bucket_name, expect, large_file, need, refuse, run, same,
                     same_file, same_tree, session, sizes, source_tree)

CLIENT = "rclone"
need(CLIENT, "rclone")
BUCKET = bucket_name(CLIENT)
REMOTE = f"compat:{BUCKET}"


def rclone(*words, how=run):
    return how("rclone", "--retries", "1", "--low-level-retries", "2", *words)


def moved(*words):
    """The names that a sync or copy says it moved, changed or deleted."""
    said = run("rclone", "--retries", "1", "--log-file", log, "--log-level", "INFO", *words)
    expect(not said, f"unexpected output {said[:80]!r}")
    with open(log) as file:
        lines = file.read().splitlines()
    os.remove(log)
    return [line for line in lines if any(word in line for word in (": Copied", ": Deleted", ": Updated", ": Moved"))]


def lsf(path):
    """Key to size of every file below a path."""
    lines = rclone("lsf", "-R", "--files-only", "--format", "sp", "--separator", "|", path).splitlines()
    return {name: int(size) for size, name in (line.split("|", 1) for line in lines)}


with session(CLIENT) as (report, work):
    log = os.path.join(work, "log")
    os.environ.update(
        RCLONE_CONFIG=os.path.join(work, "rclone.conf"), RCLONE_CONFIG_COMPAT_TYPE="s3",
        RCLONE_CONFIG_COMPAT_PROVIDER="Other", RCLONE_CONFIG_COMPAT_ENDPOINT=ENDPOINT,
        RCLONE_CONFIG_COMPAT_ACCESS_KEY_ID=ACCESS_KEY, RCLONE_CONFIG_COMPAT_SECRET_ACCESS_KEY=SECRET_KEY,
        RCLONE_CONFIG_COMPAT_REGION=REGION, RCLONE_CONFIG_COMPAT_FORCE_PATH_STYLE="true")
    open(os.environ["RCLONE_CONFIG"], "w").close()
    source, out = source_tree(os.path.join(work, "source")), os.path.join(work, "out")

    with report.group("mkdir", needed=True):
        rclone("mkdir", REMOTE)
        expect(f"{BUCKET}/" in rclone("lsf", "compat:").splitlines(), "the bucket is not listed")

    with report.group("copy of a large file up and down"):
        large = large_file(os.path.join(work, "large"))
        rclone("copyto", "--s3-chunk-size", "5M", "--s3-upload-cutoff", "5M", large, f"{REMOTE}/large +file")
        rclone("copyto", "--multi-thread-streams", "4", "--multi-thread-cutoff", "1M", f"{REMOTE}/large +file", large + ".down")
        same_file(large + ".down", large)
        os.remove(large)
        os.remove(large + ".down")

    with report.group("copy of a tree up and down"):
        rclone("copy", source, f"{REMOTE}/tree")
        rclone("copy", f"{REMOTE}/tree", out)
        same_tree(out, source)

    with report.group("lsf equals the source"):
        same(lsf(f"{REMOTE}/tree"), sizes(source), "listing")

    with report.group("check --download"):
        rclone("check", "--download", source, f"{REMOTE}/tree")
        changed = os.path.join(out, "plus+sign")
        with open(changed, "r+b") as file:
            file.write(b"other")
        expect("1 differences found" in rclone("check", "--download", out, f"{REMOTE}/tree", how=refuse),
               "a changed file was not found")

    with report.group("sync twice moves nothing the second time"):
        expect(moved("sync", source, f"{REMOTE}/sync"), "the first sync moved nothing")
        same(moved("sync", source, f"{REMOTE}/sync"), [], "second sync")
        less = os.path.join(work, "less")
        shutil.copytree(source, less)
        os.remove(os.path.join(less, "plus+sign"))
        same(len(moved("sync", less, f"{REMOTE}/sync")), 1, "number of files that a sync deletes")
        same(lsf(f"{REMOTE}/sync"), sizes(less), "listing after a deletion")

    with report.group("moveto"):
        rclone("moveto", f"{REMOTE}/tree/with space.txt", f"{REMOTE}/moved/new name+.txt")
        rclone("copyto", f"{REMOTE}/moved/new name+.txt", os.path.join(work, "moved"))
        same_file(os.path.join(work, "moved"), os.path.join(source, "with space.txt"))
        expect("with space.txt" not in lsf(f"{REMOTE}/tree"), "the old name is still listed")

    with report.group("cat of a range"):
        rclone("rcat", f"{REMOTE}/ranged", how=lambda *c: run("sh", "-c", 'printf 0123456789abcdef | "$@"', "sh", *c))
        same(rclone("cat", "--offset", "3", "--count", "7", f"{REMOTE}/ranged"), "3456789", "bytes")

    with report.group("deletefile"):
        rclone("deletefile", f"{REMOTE}/tree/plus+sign")
        wanted = {n: s for n, s in sizes(source).items() if n not in ("plus+sign", "with space.txt")}
        same(lsf(f"{REMOTE}/tree"), wanted, "listing")

    with report.group("purge"):
        rclone("purge", REMOTE)
        expect(f"{BUCKET}/" not in rclone("lsf", "compat:").splitlines(), "the bucket is still listed")
