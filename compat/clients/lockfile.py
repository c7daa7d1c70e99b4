#!/usr/bin/env python3
"""The lock file of Terraform's S3 backend, by boto3: whoever puts it where there is none has the lock."""
import json
import threading

from harness import (ACCESS_KEY, ENDPOINT, REGION, SECRET_KEY, SKIPPED, Failure, bucket_name, same, session)

CLIENT = "lockfile"
try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError
except ImportError as missing:
    print(f"SKIP {CLIENT}: no Python module {missing.name}")
    raise SystemExit(SKIPPED) from None

BUCKET, STATE, LOCK = bucket_name(CLIENT), "env/terraform.tfstate", "env/terraform.tfstate.tflock"
RIVALS, TURNS = 8, 10


def client():
    return boto3.client("s3", endpoint_url=ENDPOINT, region_name=REGION, aws_access_key_id=ACCESS_KEY,
                        aws_secret_access_key=SECRET_KEY, config=Config(s3={"addressing_style": "path"},
                                                                        retries={"max_attempts": 1}))


s3 = client()


def info(who):
    return json.dumps({"ID": who, "Operation": "OperationTypeApply", "Who": f"{who}@host", "Path": f"{BUCKET}/{STATE}"})


def lock(who, by=s3):
    """Whether the lock is now held by `who`."""
    try:
        by.put_object(Bucket=BUCKET, Key=LOCK, Body=info(who), ContentType="application/json", IfNoneMatch="*",
                      ChecksumAlgorithm="SHA256")
    except ClientError as error:
        status, code = error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"]
        if (status, code) not in ((412, "PreconditionFailed"), (409, "ConditionalRequestConflict")):
            raise
        return status
    return 200


def holder():
    return json.loads(s3.get_object(Bucket=BUCKET, Key=LOCK)["Body"].read())["ID"]


def sequence():
    same(lock("one"), 200, "status of the first lock")
    same(lock("two"), 412, "status of the second lock")
    same(holder(), "one", "holder")
    s3.put_object(Bucket=BUCKET, Key=STATE, Body=b'{"serial": 1}', ContentType="application/json")
    same(s3.get_object(Bucket=BUCKET, Key=STATE)["Body"].read(), b'{"serial": 1}', "state")
    s3.delete_object(Bucket=BUCKET, Key=LOCK)
    try:
        holder()
    except ClientError as error:
        same(error.response["Error"]["Code"], "NoSuchKey", "code")
    else:
        raise Failure("the lock is still there")
    same(lock("two"), 200, "status after the unlock")
    same(holder(), "two", "holder after the unlock")
    listed = [entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET, Prefix="env/")["Contents"]]
    same(listed, [STATE, LOCK], "listing")
    s3.delete_object(Bucket=BUCKET, Key=LOCK)


def rivals():
    """Many at once: one of them has the lock each time."""
    clients = [client() for _ in range(RIVALS)]
    for turn in range(TURNS):
        got, start = {}, threading.Barrier(RIVALS)

        def contend(number, got=got, start=start, turn=turn):
            start.wait()
            got[number] = lock(f"{turn}-{number}", clients[number])

        threads = [threading.Thread(target=contend, args=(number,)) for number in range(RIVALS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winners = [number for number, status in got.items() if status == 200]
        same((len(got), len(winners)), (RIVALS, 1), "number of rivals and of winners")
        same(holder(), f"{turn}-{winners[0]}", "holder")
        s3.delete_object(Bucket=BUCKET, Key=LOCK)


with session(CLIENT) as (report, _):
    with report.group("a bucket", needed=True):
        s3.create_bucket(Bucket=BUCKET)
    with report.group("lock, refuse, read, unlock, lock"):
        sequence()
    with report.group(f"{RIVALS} rivals for one lock"):
        rivals()
    with report.group("delete the bucket"):
        s3.delete_object(Bucket=BUCKET, Key=STATE)
        s3.delete_bucket(Bucket=BUCKET)
