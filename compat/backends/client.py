#!/usr/bin/env python3
"""Each provider's own client program as a long-lived process: what anybody else would read and write in its storage.

    client.py azure|google|amazon|openstack

Where the storage is comes from the environment, as the backend's script prints it. Each line of standard input is a
JSON object with `op` and its arguments, bytes in base64; each line of standard output the answer, {"ok": …} or
{"error": …}. Ends when its input does.

    write container key bytes · remove container key · read container key (null: nothing there) · stat container key
    names container (all of them, in no certain order) · create container · clear container (all objects, then itself)
    containers
    write_as container key bytes kind: something that this provider alone has
    begin container key (amazon: an upload in parts; its id) · uploads container (amazon: [key, id, number of parts] of each)
"""
import base64
import http.client
import json
import os
import sys
import urllib.parse

env = os.environ


class Azure:
    def __init__(self):
        from azure.core.exceptions import ResourceNotFoundError
        from azure.storage.blob import BlobServiceClient
        self.missing = ResourceNotFoundError
        self.service = BlobServiceClient(env["AZURE_STORAGE_ENDPOINT"], credential={
            "account_name": env["AZURE_STORAGE_ACCOUNT_NAME"], "account_key": env["AZURE_STORAGE_ACCOUNT_KEY"]})

    def blob(self, container, key):
        return self.service.get_blob_client(container, key)

    def write(self, container, key, data):
        self.blob(container, key).upload_blob(data, overwrite=True)

    def write_as(self, container, key, data, kind):
        blob = self.blob(container, key)
        blob.upload_blob(data, blob_type="AppendBlob" if kind == "appended" else "BlockBlob", overwrite=True)
        if kind == "archived":
            blob.set_standard_blob_tier("Archive")
        elif kind == "snapshot":
            blob.create_snapshot()

    def remove(self, container, key):
        self.blob(container, key).delete_blob()

    def read(self, container, key):
        try:
            return self.blob(container, key).download_blob().readall()
        except self.missing:
            return None

    def stat(self, container, key):
        try:
            known = self.blob(container, key).get_blob_properties()
        except self.missing:
            return None
        return {"size": known.size, "type": known.content_settings.content_type, "metadata": known.metadata,
                "etag": known.etag}

    def names(self, container):
        # What was begun and not committed is there too, as far as its space goes.
        listed = self.service.get_container_client(container).list_blobs(include=["uncommittedblobs"])
        return [blob.name for blob in listed]

    def containers(self):
        return [container.name for container in self.service.list_containers()]

    def create(self, container):
        self.service.create_container(container)

    def clear(self, container):
        self.service.delete_container(container)


class Google:
    def __init__(self):
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage
        self.client = storage.Client(project=env.get("GCS_PROJECT", "test"), credentials=AnonymousCredentials(),
                                     client_options={"api_endpoint": env["STORAGE_EMULATOR_HOST"]})

    def blob(self, container, key):
        return self.client.bucket(container).get_blob(key)

    def write(self, container, key, data):
        self.client.bucket(container).blob(key).upload_from_string(data, content_type="application/octet-stream")

    def remove(self, container, key):
        self.client.bucket(container).blob(key).delete()

    def read(self, container, key):
        blob = self.blob(container, key)
        return None if blob is None else blob.download_as_bytes(raw_download=True)

    def stat(self, container, key):
        blob = self.blob(container, key)
        return None if blob is None else {"size": blob.size, "type": blob.content_type, "metadata": blob.metadata or {},
                                          "etag": str(blob.generation)}

    def names(self, container):
        return [blob.name for blob in self.client.list_blobs(container)]

    def containers(self):
        return [bucket.name for bucket in self.client.list_buckets()]

    def create(self, container):
        self.client.create_bucket(container)

    def clear(self, container):
        for blob in self.client.list_blobs(container):
            blob.delete()
        self.client.bucket(container).delete()


class Amazon:
    def __init__(self):
        import boto3
        import botocore
        from botocore.config import Config
        self.failed = botocore.exceptions.ClientError
        self.s3 = boto3.client("s3", endpoint_url=env["AWS_ENDPOINT_URL"], config=Config(s3={"addressing_style": "path"}))

    def missing(self, error):
        return error.response["Error"]["Code"] in ("NoSuchKey", "404")

    def write(self, container, key, data):
        self.s3.put_object(Bucket=container, Key=key, Body=data)

    def write_as(self, container, key, data, kind):
        more = {"archived": {"StorageClass": "GLACIER"}, "sealed": {"ServerSideEncryption": "aws:kms"}}[kind]
        self.s3.put_object(Bucket=container, Key=key, Body=data, **more)

    def begin(self, container, key):
        return self.s3.create_multipart_upload(Bucket=container, Key=key)["UploadId"]

    def uploads(self, container):
        begun = self.s3.list_multipart_uploads(Bucket=container).get("Uploads", [])
        return [[upload["Key"], upload["UploadId"], self.parts(container, upload)] for upload in begun]

    def parts(self, container, upload):
        try:
            known = self.s3.list_parts(Bucket=container, Key=upload["Key"], UploadId=upload["UploadId"])
        except self.failed:
            # It has ended meanwhile.
            return 0
        return len(known.get("Parts", []))

    def remove(self, container, key):
        self.s3.delete_object(Bucket=container, Key=key)

    def read(self, container, key):
        try:
            return self.s3.get_object(Bucket=container, Key=key)["Body"].read()
        except self.failed as error:
            if self.missing(error):
                return None
            raise

    def stat(self, container, key):
        try:
            known = self.s3.head_object(Bucket=container, Key=key)
        except self.failed as error:
            if self.missing(error):
                return None
            raise
        return {"size": known["ContentLength"], "type": known["ContentType"], "metadata": known["Metadata"],
                "etag": known["ETag"]}

    def names(self, container):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=container)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def containers(self):
        return [bucket["Name"] for bucket in self.s3.list_buckets()["Buckets"]]

    def create(self, container):
        self.s3.create_bucket(Bucket=container)

    def clear(self, container):
        for key in self.names(container):
            self.s3.delete_object(Bucket=container, Key=key)
        for upload in self.s3.list_multipart_uploads(Bucket=container).get("Uploads", []):
            self.s3.abort_multipart_upload(Bucket=container, Key=upload["Key"], UploadId=upload["UploadId"])
        self.s3.delete_bucket(Bucket=container)


class Openstack:
    def __init__(self):
        import swiftclient
        self.failed = swiftclient.ClientException
        if "OS_AUTH_URL" in env:
            url, token = self.keystone()
            self.swift = swiftclient.Connection(preauthurl=url, preauthtoken=token, retries=1)
        else:
            self.swift = swiftclient.Connection(env["ST_AUTH"], env["ST_USER"], env["ST_KEY"], retries=1)

    @staticmethod
    def keystone():
        """A token and the storage it is for, as Keystone v3 gives them."""
        import urllib.request
        user = {"name": env["OS_USERNAME"], "password": env["OS_PASSWORD"], "domain": {"name": env["OS_USER_DOMAIN_NAME"]}}
        scope = {"project": {"name": env["OS_PROJECT_NAME"], "domain": {"name": env["OS_PROJECT_DOMAIN_NAME"]}}}
        asked = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        request = urllib.request.Request(env["OS_AUTH_URL"] + "/auth/tokens", json.dumps(asked).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            token, said = answer.headers["X-Subject-Token"], json.load(answer)["token"]
        entry = next(entry for entry in said["catalog"] if entry["type"] == "object-store")
        return next(e["url"] for e in entry["endpoints"] if e["interface"] == "public"), token

    def raw(self, method, container, key, data=None):
        """One request for an object whose name has segments `.` or `..`, as (headers, body), or nothing for a 404: to Swift they
        are like any others, but the library that swiftclient sends with would take them out."""
        if not self.swift.url:
            self.swift.url, self.swift.token = self.swift.get_auth()
        place = urllib.parse.urlsplit(self.swift.url)
        path = f"{place.path}/{urllib.parse.quote(container)}/{urllib.parse.quote(key)}"
        connection = http.client.HTTPConnection(place.hostname, place.port)
        try:
            connection.request(method, path, data, {"X-Auth-Token": self.swift.token})
            answer = connection.getresponse()
            headers, body = {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()
        if answer.status == 404:
            return None
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {body[:200]}")
        return headers, body

    @staticmethod
    def dotted(key):
        return not {".", ".."}.isdisjoint(key.split("/"))

    def found(self, ask, method, container, key):
        """What a question about an object is answered, as (headers, body), or nothing if it is not there."""
        if self.dotted(key):
            return self.raw(method, container, key)
        try:
            return ask(container, key)
        except self.failed as error:
            if error.http_status == 404:
                return None
            raise

    def write(self, container, key, data):
        if self.dotted(key):
            self.raw("PUT", container, key, data)
        else:
            self.swift.put_object(container, key, data)

    def write_as(self, container, key, data, kind):
        # A dynamic large object; what is given are not its bytes, but what the names of its segments begin with.
        assert kind == "manifest"
        self.swift.put_object(container, key, b"", headers={"X-Object-Manifest": f"{container}/{data.decode()}"})

    def remove(self, container, key):
        if self.dotted(key):
            self.raw("DELETE", container, key)
        else:
            self.swift.delete_object(container, key)

    def read(self, container, key):
        found = self.found(self.swift.get_object, "GET", container, key)
        return None if found is None else found[1]

    def stat(self, container, key):
        found = self.found(lambda *place: (self.swift.head_object(*place), b""), "HEAD", container, key)
        if found is None:
            return None
        known = found[0]
        metadata = {name[14:]: value for name, value in known.items() if name.startswith("x-object-meta-")}
        return {"size": int(known["content-length"]), "type": known["content-type"], "metadata": metadata,
                "etag": known["etag"]}

    def names(self, container):
        return [found["name"] for found in self.swift.get_container(container, full_listing=True)[1]]

    def containers(self):
        return [container["name"] for container in self.swift.get_account(full_listing=True)[1]]

    def create(self, container):
        self.swift.put_container(container)

    def clear(self, container):
        for name in self.names(container):
            self.remove(container, name)
        self.swift.delete_container(container)


def main():
    kinds = {"azure": Azure, "google": Google, "amazon": Amazon, "openstack": Openstack, "rackspace": Openstack}
    client = kinds[sys.argv[1]]()
    for line in sys.stdin:
        asked = json.loads(line)
        op = asked.pop("op")
        if "data" in asked:
            asked["data"] = base64.b64decode(asked["data"])
        try:
            said = getattr(client, op)(**asked)
            answer = {"ok": base64.b64encode(said).decode() if isinstance(said, bytes) else said}
        except Exception as error:  # Whatever it is, it is the answer.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
