#!/usr/bin/env python3
"""deltalake: tables whose every commit is a put where there must be nothing, also by writers at the same time."""
import threading

from harness import (ACCESS_KEY, ENDPOINT, REGION, SECRET_KEY, SKIPPED, bucket_name, expect, same, session)

CLIENT = "deltalake"
try:
    import boto3
    import pyarrow as pa
    from deltalake import DeltaTable, write_deltalake
    from deltalake.exceptions import DeltaError
except ImportError as missing:
    print(f"SKIP {CLIENT}: no Python module {missing.name}")
    raise SystemExit(SKIPPED) from None

BUCKET, WRITERS, TURNS = bucket_name(CLIENT), 4, 5
TABLE = f"s3://{BUCKET}/tables/t"
s3 = boto3.client("s3", endpoint_url=ENDPOINT, region_name=REGION, aws_access_key_id=ACCESS_KEY,
                  aws_secret_access_key=SECRET_KEY)
OPTIONS = {"AWS_ENDPOINT_URL": ENDPOINT, "AWS_REGION": REGION, "AWS_ACCESS_KEY_ID": ACCESS_KEY,
           "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_ALLOW_HTTP": "true", "aws_conditional_put": "etag"}


def data(first, count):
    return pa.table({"i": pa.array(range(first, first + count), pa.int64()),
                     "name": [f"row {n}" for n in range(first, first + count)]})


def append(first, count=100):
    write_deltalake(TABLE, data(first, count), mode="append", storage_options=OPTIONS)


def rows(**options):
    return sorted(DeltaTable(TABLE, storage_options=OPTIONS, **options).to_pyarrow_table()["i"].to_pylist())


def versions():
    write_deltalake(TABLE, data(0, 1000), storage_options=OPTIONS)
    append(1000)
    same(rows(), list(range(1100)), "rows")
    same(rows(version=0), list(range(1000)), "rows of the first version")
    table = DeltaTable(TABLE, storage_options=OPTIONS)
    table.delete("i >= 500 AND i < 1000")
    same(rows(), [*range(500), *range(1000, 1100)], "rows after a delete")
    same(DeltaTable(TABLE, storage_options=OPTIONS).version(), 2, "version")


def refused():
    """A table that is there cannot be made again."""
    try:
        write_deltalake(TABLE, data(0, 1), mode="error", storage_options=OPTIONS)
    except DeltaError:
        return
    expect(False, "a table was made over another")


def rivals():
    """Writers at the same time: no commit may be lost, and none may be there twice."""
    before, version = rows(), DeltaTable(TABLE, storage_options=OPTIONS).version()
    failed = []

    def write(number):
        for turn in range(TURNS):
            try:
                append(10_000 * (number + 1) + 100 * turn)
            except DeltaError as error:
                failed.append(str(error))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(failed, [], "list of failed commits")
    wanted = [10_000 * (number + 1) + 100 * turn + n for number in range(WRITERS) for turn in range(TURNS)
              for n in range(100)]
    same(rows(), sorted(before + wanted), "rows")
    same(DeltaTable(TABLE, storage_options=OPTIONS).version(), version + WRITERS * TURNS, "version")


def maintenance():
    wanted = rows()
    table = DeltaTable(TABLE, storage_options=OPTIONS)
    table.create_checkpoint()
    table.optimize.compact()
    table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    same(rows(), wanted, "rows after compaction")
    files = DeltaTable(TABLE, storage_options=OPTIONS).file_uris()
    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET, Prefix="tables/t/")["Contents"]]
    kept = sorted(key for key in listed if key.endswith(".parquet") and "_delta_log" not in key)
    same(kept, sorted(uri.removeprefix(f"s3://{BUCKET}/") for uri in files), "files that are left")


with session(CLIENT) as (report, _):
    with report.group("a bucket", needed=True):
        s3.create_bucket(Bucket=BUCKET)
    for what, check in (("write, append, delete, earlier versions", versions), ("a table over another is refused", refused),
                        (f"{WRITERS} writers at once", rivals), ("checkpoint, compaction, vacuum", maintenance)):
        with report.group(what):
            check()
    with report.group("delete the bucket"):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for entry in page.get("Contents", []):
                s3.delete_object(Bucket=BUCKET, Key=entry["Key"])
        s3.delete_bucket(Bucket=BUCKET)
