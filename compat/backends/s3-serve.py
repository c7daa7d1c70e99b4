#!/usr/bin/env python3
"""moto's S3 with the checks that it leaves out: conditions on copies and on the completion of uploads, and digests.

One request that changes anything runs at a time, so that a condition and the change that it guards are one step, as
they are at Amazon. Written after the documented contract. In use: s3-serve.py PORT
"""
import base64
import hashlib
import io
import sys
import threading
import zlib
from urllib.parse import parse_qs, quote, unquote

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple

KEY_BYTES_MAX = 1024
METADATA_BYTES_MAX = 2048
moto = DomainDispatcherApplication(create_backend_app)
changing = threading.Lock()


class Refused(Exception):
    """An answer of ours: status, code, message."""


def head(environ, path):
    """The ETag of the object at an encoded path, or nothing."""
    said = {}

    def start(status, headers, exc_info=None):
        said.update(status=status, headers=dict((k.lower(), v) for k, v in headers))
        return lambda data: None

    asked = {k: v for k, v in environ.items() if not k.startswith(("HTTP_", "CONTENT_"))}
    # Who asks stays: without a key moto would hold the request against the bucket's policy.
    asked.update({k: environ[k] for k in ("HTTP_HOST", "HTTP_AUTHORIZATION", "HTTP_X_AMZ_DATE") if k in environ})
    asked.update(REQUEST_METHOD="HEAD", QUERY_STRING="", RAW_URI=path, REQUEST_URI=path)
    asked.update({"PATH_INFO": unquote(path, encoding="latin-1"), "wsgi.input": io.BytesIO()})
    answer = moto(asked, start)
    for _ in answer:
        pass
    if hasattr(answer, "close"):
        answer.close()
    return said["headers"].get("etag") if said["status"].startswith("200") else None


def listed(text):
    return [tag.strip().strip('"') for tag in text.split(",")]


def hold(etag, match, none_match, absent):
    """Refuses a change whose conditions the object with this ETag, or none, does not meet."""
    bare = etag and etag.strip('"')
    if match:
        if bare is None:
            raise Refused(*absent)
        if match.strip() != "*" and bare not in listed(match):
            raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
    if none_match and bare is not None and (none_match.strip() == "*" or bare in listed(none_match)):
        raise Refused(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")


def digests(environ, body):
    """Refuses a body that is not what its headers say."""
    said = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
    if len(said) == 64 and said != hashlib.sha256(body).hexdigest():
        raise Refused(400, "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match")
    if said.startswith("STREAMING-"):
        return
    wants = {
        "HTTP_CONTENT_MD5": lambda: hashlib.md5(body).digest(),
        "HTTP_X_AMZ_CHECKSUM_SHA256": lambda: hashlib.sha256(body).digest(),
        "HTTP_X_AMZ_CHECKSUM_SHA1": lambda: hashlib.sha1(body).digest(),
        "HTTP_X_AMZ_CHECKSUM_CRC32": lambda: zlib.crc32(body).to_bytes(4, "big"),
    }
    for name, digest in wants.items():
        # On a completion these name what the whole object must have, which moto compares itself.
        if environ.get(name) and not (name != "HTTP_CONTENT_MD5" and environ["REQUEST_METHOD"] == "POST"):
            if base64.b64encode(digest()).decode() != environ[name].strip():
                raise Refused(400, "BadDigest", "The digest you specified did not match what was received")


def checked(environ, body):
    method, query = environ["REQUEST_METHOD"], parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    path = (environ.get("RAW_URI") or environ["REQUEST_URI"]).split("?")[0]
    if path.startswith("http://"):
        path = "/" + path.split("/", 3)[-1]
    digests(environ, body)
    key = path.lstrip("/").partition("/")[2]
    if not key:
        return
    if len(unquote(key, encoding="latin-1")) > KEY_BYTES_MAX:
        raise Refused(400, "KeyTooLongError", "Your key is too long")
    if sum(len(k) - 16 + len(v) for k, v in environ.items() if k.startswith("HTTP_X_AMZ_META_")) > METADATA_BYTES_MAX:
        raise Refused(400, "MetadataTooLarge", "Your metadata headers exceed the maximum allowed metadata size")
    missing = (404, "NoSuchKey", "The specified key does not exist.")
    source = environ.get("HTTP_X_AMZ_COPY_SOURCE")
    if source:
        source = "/" + quote(unquote(source.lstrip("/").split("?versionId=")[0]))
        conditions = [environ.get("HTTP_X_AMZ_COPY_SOURCE_IF_" + name) for name in ("MATCH", "NONE_MATCH")]
        if any(conditions):
            hold(head(environ, source), *conditions, missing)
    whole = method == "PUT" and "uploadId" not in query or method == "POST" and "uploadId" in query
    conditions = environ.get("HTTP_IF_MATCH"), environ.get("HTTP_IF_NONE_MATCH")
    if whole and any(conditions):
        hold(head(environ, path), *conditions, missing)
        # moto holds a completion against the upload, and a copy not at all: this was the answer.
        environ.pop("HTTP_IF_MATCH", None)
        environ.pop("HTTP_IF_NONE_MATCH", None)


def application(environ, start_response):
    if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
        return moto(environ, start_response)
    # Only a body in chunks ends by itself.
    chunked = environ.get("wsgi.input_terminated")
    body = environ["wsgi.input"].read(*() if chunked else (int(environ.get("CONTENT_LENGTH") or 0),))
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    with changing:
        try:
            checked(environ, body)
        except Refused as refused:
            status, code, message = refused.args
            text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
            start_response(f"{status} {code}", [("Content-Type", "application/xml"), ("Content-Length", str(len(text)))])
            return [text.encode()]
        answer = moto(environ, start_response)
        try:
            return [b"".join(answer)]
        finally:
            if hasattr(answer, "close"):
                answer.close()


class Handler(WSGIRequestHandler):
    # A client that has to connect anew for each request would measure that.
    protocol_version = "HTTP/1.1"

    def log(self, *args):
        pass


run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True, request_handler=Handler)
