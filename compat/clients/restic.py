#!/usr/bin/env python3
"""restic: a repository in a bucket; what was backed up comes back, before and after a prune."""
import json
import os

from harness import (ENDPOINT, bucket_name, expect, large_file, need, refuse, run, same, same_tree, session, source_tree)

CLIENT = "restic"
need(CLIENT, "restic")


def restic(*words, how=run, cwd=None):
    return how("restic", "--quiet", *words, cwd=cwd)


def restored(work, name, source):
    target = os.path.join(work, name)
    restic("restore", "latest", "--target", target)
    same_tree(target, source)


with session(CLIENT) as (report, work):
    os.environ.update(RESTIC_REPOSITORY=f"s3:{ENDPOINT}/{bucket_name(CLIENT)}/repository", RESTIC_PASSWORD="compat",
                      RESTIC_CACHE_DIR=os.path.join(work, "cache"))
    source = source_tree(os.path.join(work, "source"))
    large_file(os.path.join(source, "large"), mib=16)

    with report.group("init", needed=True):
        restic("init")
        refuse("restic", "init")

    with report.group("backup", needed=True):
        restic("backup", ".", cwd=source)
        same(len(json.loads(restic("snapshots", "--json"))), 1, "number of snapshots")

    with report.group("check --read-data", needed=True):
        restic("check", "--read-data", "--no-cache")

    with report.group("restore equals the source", needed=True):
        restored(work, "first", source)

    with report.group("second backup, forget --prune"):
        os.remove(os.path.join(source, "large"))
        large_file(os.path.join(source, "other"), mib=4, seed=3)
        restic("backup", ".", cwd=source)
        same(len(json.loads(restic("snapshots", "--json"))), 2, "number of snapshots")
        restic("forget", "--keep-last", "1", "--prune")
        same(len(json.loads(restic("snapshots", "--json"))), 1, "number of snapshots")

    with report.group("check and restore after the prune"):
        restic("check", "--read-data", "--no-cache")
        restored(work, "second", source)

    with report.group("a wrong password is refused"):
        os.environ["RESTIC_PASSWORD"] = "other"
        expect("wrong password" in restic("snapshots", how=refuse), "the message does not say so")
