#!/usr/bin/env python3
"""Puts objects through Longshore and reads them back with the provider's own client: in the natural layout anybody who
knows the storage finds each object at its key.

    compat/suites/readback.py PROVIDER ENDPOINT ACCESS_KEY SECRET_KEY

What the provider's client needs comes from the environment, as compat/backends/backend.py sets it.
"""
import base64
import json
import os
import pathlib
import random
import subprocess
import sys
import time

import boto3
from botocore.config import Config

CLIENT = pathlib.Path(__file__).resolve().parent.parent / "backends/client.py"
OBJECTS, SECONDS_MAX = 50, 30


def bodies():
    """Plain keys with bodies of many sizes, each other than the rest."""
    dice = random.Random(20)
    return {f"d{n % 7}/with space {n}.bin" if n % 5 == 0 else f"d{n % 7}/k{n}": dice.randbytes(dice.choice((0, 1, 900, 70_000, 1_500_000)))
            for n in range(OBJECTS)}


class Outside:
    def __init__(self, provider):
        self.process = subprocess.Popen([sys.executable, "-B", CLIENT, provider], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def ask(self, op, **arguments):
        self.process.stdin.write(json.dumps({"op": op, **arguments}) + "\n")
        self.process.stdin.flush()
        said = json.loads(self.process.stdout.readline())
        if "error" in said:
            raise SystemExit(f"{op} {arguments}: {said['error']}")
        return said["ok"]

    def wrong(self, bucket, wanted):
        """The keys at which the storage has something else, or nothing."""
        return [key for key, body in wanted.items()
                if (said := self.ask("read", container=bucket, key=key)) is None or base64.b64decode(said) != body]


def main():
    provider, endpoint, access_key, secret_key = sys.argv[1:]
    s3 = boto3.client("s3", endpoint_url=endpoint, aws_access_key_id=access_key, aws_secret_access_key=secret_key,
                      region_name="us-east-1", config=Config(s3={"addressing_style": "path"}))
    bucket, wanted, outside = f"readback-{os.getpid():x}-{time.time_ns() // 1000000:x}", bodies(), Outside(provider)
    s3.create_bucket(Bucket=bucket)
    for key, body in wanted.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body)
    # The last steps of a put follow its answer.
    until = time.monotonic() + SECONDS_MAX
    wrong = outside.wrong(bucket, wanted)
    while wrong and time.monotonic() < until:
        time.sleep(0.2)
        wrong = outside.wrong(bucket, {key: wanted[key] for key in wrong})
    extra = sorted(key for key in outside.ask("names", container=bucket)
                   if key not in wanted and not key.startswith(".longshore/"))
    print(f"{len(wanted) - len(wrong)} of {len(wanted)} objects are at their keys for the client of {provider}")
    for what, keys in (("is not there, or other", wrong), ("is there and was not put", extra)):
        for key in keys[:10]:
            print(f"{what}: {key}")
    return 1 if wrong or extra else 0


if __name__ == "__main__":
    sys.exit(main())
