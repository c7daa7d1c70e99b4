#!/usr/bin/env python3
"""S3 below /storage/v1/s3: what boto.py and aws.py check of the other listener, and boto3 with a token for a session.

Their lines pass through; those of the sessions are of this script. The exit code is the number of failures.
"""
import base64
import hashlib
import hmac
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
REST = os.environ.get("REST_ENDPOINT", "").rstrip("/")
SECRET, ANON_KEY = os.environ.get("LONGSHORE_JWT_SECRET"), os.environ.get("LONGSHORE_ANON_KEY")
if not (REST and SECRET and ANON_KEY):
    print("SKIP supabase-s3: no REST_ENDPOINT, LONGSHORE_JWT_SECRET or LONGSHORE_ANON_KEY")
    raise SystemExit(77)
os.environ["S3_ENDPOINT"] = f"{REST}/storage/v1/s3"

from harness import SKIPPED, Failure, Report, bucket_name, same  # noqa: E402

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import ClientError
except ImportError as missing:
    print(f"SKIP supabase-s3: no Python module {missing.name}")
    raise SystemExit(SKIPPED) from None

USER = "11111111-1111-4111-8111-111111111111"
BUCKET = bucket_name("supabase-s3")


def part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(**claims):
    text = ".".join(part(json.dumps(value).encode()) for value in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{text}.{part(hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).digest())}"


def session(text, secret=ANON_KEY):
    return boto3.client("s3", endpoint_url=os.environ["S3_ENDPOINT"], region_name="eu-central-1",
                        aws_access_key_id="storage-single-tenant", aws_secret_access_key=secret, aws_session_token=text,
                        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}))


def refused(call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        return (error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"])
    raise Failure(f"{call.__name__} succeeded")


def sessions():
    report = Report("supabase-s3")
    later = int(time.time()) + 600
    service = session(token(role="service_role", exp=later))
    user = session(token(role="authenticated", sub=USER, exp=later))
    with report.group("sessions: the token says who asks", needed=True):
        service.create_bucket(Bucket=BUCKET)
        own = {"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"AWS": "role:authenticated"}, "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": f"arn:aws:s3:::{BUCKET}/${{jwt:sub}}/*"}]}
        service.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(own))
        user.put_object(Bucket=BUCKET, Key=f"{USER}/a b//ü.txt", Body=b"mine")
        same(user.get_object(Bucket=BUCKET, Key=f"{USER}/a b//ü.txt")["Body"].read(), b"mine", "body")
        same(refused(user.put_object, Bucket=BUCKET, Key="other/x", Body=b"x"), (403, "AccessDenied"), "another folder")
        same(refused(user.list_objects_v2, Bucket=BUCKET), (403, "AccessDenied"), "list")
        keys = [entry["Key"] for entry in service.list_objects_v2(Bucket=BUCKET)["Contents"]]
        same(keys, [f"{USER}/a b//ü.txt"], "keys")
    with report.group("sessions: presigned, with a token in the URL"):
        url = user.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": f"{USER}/a b//ü.txt"})
        same(urllib.request.urlopen(url, timeout=60).read(), b"mine", "body")
        try:
            urllib.request.urlopen(url.replace("a%20b", "b%20a"), timeout=60)
            raise Failure("a changed URL was served")
        except urllib.error.HTTPError as error:
            same(error.code, 403, "changed URL")
    with report.group("sessions: multipart, and delete"):
        made = user.create_multipart_upload(Bucket=BUCKET, Key=f"{USER}/big")
        named = {"Bucket": BUCKET, "Key": f"{USER}/big", "UploadId": made["UploadId"]}
        parts = [{"PartNumber": n, "ETag": user.upload_part(**named, PartNumber=n, Body=body)["ETag"]}
                 for n, body in ((1, b"x" * (5 << 20)), (2, b"end"))]
        user.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
        same(user.head_object(Bucket=BUCKET, Key=f"{USER}/big")["ContentLength"], (5 << 20) + 3, "size")
        keys = service.list_objects_v2(Bucket=BUCKET)["Contents"]
        service.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": entry["Key"]} for entry in keys]})
        service.delete_bucket(Bucket=BUCKET)
    with report.group("sessions: what is no token, and what is no signature"):
        for what, client in [("expired", session(token(role="service_role", exp=1))), ("no token", session("garbage")),
                             ("without an end", session(token(role="service_role"))),
                             ("unknown role", session(token(role="postgres", exp=later))),
                             ("none at all", session(None))]:
            same(refused(client.list_buckets), (403, "AccessDenied"), what)
        other = session(token(role="service_role", exp=later), "another-anon-key-0000")
        same(refused(other.list_buckets), (403, "SignatureDoesNotMatch"), "another key")
    return report.failed


def passed_on(script):
    done = subprocess.run([sys.executable, HERE / script], capture_output=True, text=True)
    lines = [line.replace(": ", " below a path: ", 1) for line in done.stdout.splitlines()
             if line.startswith(("PASS ", "FAIL ", "SKIP "))]
    if not lines:
        lines = [f"FAIL supabase-s3: {script}: {' '.join(done.stderr.split())[-300:]}"]
    print("\n".join(lines), flush=True)
    return sum(line.startswith("FAIL ") for line in lines)


sys.exit(min(sessions() + passed_on("boto.py") + passed_on("aws.py"), 70))
