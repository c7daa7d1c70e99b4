#!/usr/bin/env python3
"""DuckDB with its httpfs extension, which a package brings: tables as Parquet and CSV, written and read in place."""
import glob
import importlib.util
import os

from harness import (ACCESS_KEY, ENDPOINT, REGION, SECRET_KEY, SKIPPED, bucket_name, expect, same, session)

CLIENT = "duckdb"
try:
    import boto3
    import duckdb
except ImportError as missing:
    print(f"SKIP {CLIENT}: no Python module {missing.name}")
    raise SystemExit(SKIPPED) from None
# The package is a folder with the extension in it, for one version and one kind of machine.
PLACE = importlib.util.find_spec("duckdb_ext")
FOUND = [file for folder in (PLACE.submodule_search_locations if PLACE else ())
         for file in glob.glob(f"{folder}/extensions/v{duckdb.__version__}/*/httpfs.duckdb_extension")]
if len(FOUND) != 1:
    print(f"SKIP {CLIENT}: {len(FOUND)} httpfs extensions for {duckdb.__version__}")
    raise SystemExit(SKIPPED)

BUCKET, ROWS = bucket_name(CLIENT), 200_000
s3 = boto3.client("s3", endpoint_url=ENDPOINT, region_name=REGION, aws_access_key_id=ACCESS_KEY,
                  aws_secret_access_key=SECRET_KEY)


def connection(work):
    db = duckdb.connect(config={"extension_directory": os.path.join(work, "extensions"),
                                "autoinstall_known_extensions": False})
    db.load_extension(FOUND[0])
    db.execute(f"""CREATE SECRET (TYPE s3, KEY_ID '{ACCESS_KEY}', SECRET '{SECRET_KEY}', REGION '{REGION}',
        ENDPOINT '{ENDPOINT.split("://")[1]}', URL_STYLE 'path', USE_SSL false)""")
    return db


def rows(db, query):
    return db.execute(query).fetchall()


def parquet(db):
    db.execute(f"""CREATE TABLE t AS SELECT i, i % 7 AS part, 'row ' || i AS name, i * 1.5 AS x
        FROM range({ROWS}) r(i)""")
    db.execute(f"COPY t TO 's3://{BUCKET}/t.parquet' (FORMAT parquet, ROW_GROUP_SIZE 20000)")
    summed = "SELECT count(*), sum(i), min(name), max(name), sum(x) FROM"
    same(rows(db, f"{summed} 's3://{BUCKET}/t.parquet'"), rows(db, f"{summed} t"), "sums")
    one = f"SELECT name FROM 's3://{BUCKET}/t.parquet' WHERE i = 123456"
    same(rows(db, one), [("row 123456",)], "a row by ranges")


def partitions(db):
    db.execute(f"COPY t TO 's3://{BUCKET}/parts' (FORMAT parquet, PARTITION_BY (part), OVERWRITE_OR_IGNORE)")
    listed = [name for (name,) in rows(db, f"SELECT file FROM glob('s3://{BUCKET}/parts/*/*.parquet') ORDER BY file")]
    same(sorted({name.split("/")[4] for name in listed}), [f"part={n}" for n in range(7)], "partitions of the listing")
    query = "SELECT part, count(*), sum(i) FROM {} GROUP BY part ORDER BY part"
    got = rows(db, query.format(f"read_parquet('s3://{BUCKET}/parts/*/*.parquet', hive_partitioning = true)"))
    same(got, rows(db, query.format("t")), "sums of the partitions")


def text(db):
    db.execute(f"COPY t TO 's3://{BUCKET}/t.csv' (FORMAT csv, HEADER)")
    got = db.execute(f"SELECT content FROM read_text('s3://{BUCKET}/t.csv')").fetchone()[0]
    lines = got.splitlines()
    same((len(lines), lines[0], lines[-1]), (ROWS + 1, "i,part,name,x", f"{ROWS - 1},{(ROWS - 1) % 7},"
         f"row {ROWS - 1},{(ROWS - 1) * 1.5}"), "text")
    size = s3.head_object(Bucket=BUCKET, Key="t.csv")["ContentLength"]
    same(len(got.encode()), size, "size")


def missing(db):
    try:
        rows(db, f"SELECT * FROM 's3://{BUCKET}/none.parquet'")
    except duckdb.Error as error:
        expect("404" in str(error) or "No files" in str(error) or "Not Found" in str(error), f"it says {error}")
    else:
        expect(False, "a file that is not there was read")


with session(CLIENT) as (report, work):
    with report.group("load httpfs, a bucket", needed=True):
        db = connection(work)
        s3.create_bucket(Bucket=BUCKET)
    for what, check in (("a table as one Parquet file", parquet), ("a table in partitions", partitions),
                        ("a table as CSV", text), ("a file that is not there", missing)):
        with report.group(what):
            check(db)
    with report.group("delete the bucket"):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET):
            for entry in page.get("Contents", []):
                s3.delete_object(Bucket=BUCKET, Key=entry["Key"])
        s3.delete_bucket(Bucket=BUCKET)
