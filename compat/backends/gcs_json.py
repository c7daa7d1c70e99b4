"""The parts of Google's JSON API that fake-gcs-server leaves out, in front of it: conditions on every change, digests of
what is uploaded, composite objects without an MD5, and listings whose pages count prefixes.

One request that changes anything runs at a time, so that a condition and the change it guards are one step, as they
are at Google. Written after the documented contract, not checked against the real service.
"""
import base64
import hashlib
import http.client
import json
import re
import sys
import threading
import uuid
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

PORT, BACKEND = int(sys.argv[1]), int(sys.argv[2])
CHUNK = 256 * 1024
PAGE_MAX = 1000
changing = threading.RLock()
composite = {}    # (bucket, name, generation) -> (ETag in XML, number of components)
patched = {}      # (bucket, name, generation) -> how often its metadata was changed
sessions = {}     # id of a resumable upload -> what it has so far
HOP = {"host", "connection", "transfer-encoding", "content-length", "date", "server"}
CONDITIONS = ("ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch")


class Refused(Exception):
    """An answer of ours: status and message."""


def call(method, path, body=b"", headers=None):
    c = http.client.HTTPConnection("127.0.0.1", BACKEND, timeout=120)
    c.request(method, path, body=body, headers={"Host": "127.0.0.1:%d" % PORT, **(headers or {})})
    r = c.getresponse()
    data = r.read()
    c.close()
    return r.status, r.getheaders(), data


def seg(s):
    return quote(s, safe="")


def stat(bucket, name, generation=None):
    """The status and the resource of an object."""
    status, _, data = call("GET", "/storage/v1/b/%s/o/%s%s" % (
        seg(bucket), seg(name), "?generation=" + generation if generation else ""))
    return status, cleaned(json.loads(data)) if status == 200 else None


def cleaned(resource):
    """A resource as Google has it: what was composed has no MD5, and changes of metadata are counted."""
    if resource.get("kind") == "storage#object":
        which = (resource["bucket"], resource["name"], str(resource["generation"]))
        made = composite.get(which)
        resource["metageneration"] = str(1 + patched.get(which, 0))
        if made:
            resource.pop("md5Hash", None)
            resource.update(componentCount=made[1], etag=made[0].strip('"'))
    return resource


def compose_known(bucket, resource, count, etag=None):
    """Remembers that an object was put together from parts."""
    generation = str(resource["generation"])
    tag = etag or '"-%s"' % hashlib.md5((generation + resource.get("crc32c", "")).encode()).hexdigest()
    composite[(bucket, resource["name"], generation)] = (tag, count)


def hold(bucket, name, conditions):
    """Refuses what the object, or none, does not meet. Generation 0 is that there is none."""
    given = {k: conditions[k] for k in CONDITIONS if conditions.get(k) is not None}
    if not given:
        return
    _, now = stat(bucket, name)
    generation = int(now["generation"]) if now else 0
    metageneration = int(now.get("metageneration") or 1) if now else None
    for k, v in given.items():
        try:
            wanted = int(v)
        except ValueError:
            raise Refused(400, "Invalid value: " + v) from None
        have = generation if "Meta" not in k else metageneration
        if (have == wanted) == k.endswith("NotMatch"):
            raise Refused(304 if k.endswith("NotMatch") and conditions.get("reading") else 412,
                          "At least one of the pre-conditions you specified did not hold.")


def all_under(bucket, prefix):
    """Every object whose name begins so, in order of its bytes."""
    token, items = None, []
    while True:
        query = {"maxResults": "1000", "prefix": prefix, **({"pageToken": token} if token else {})}
        status, _, data = call("GET", "/storage/v1/b/%s/o?%s" % (seg(bucket), urlencode(query)))
        if status != 200:
            return status, data
        page = json.loads(data)
        items += page.get("items") or []
        token = page.get("nextPageToken")
        if not token:
            return 200, sorted(map(cleaned, items), key=lambda o: o["name"].encode())


def page_of(items, prefix, delimiter, after, want):
    """Objects and prefixes of a page that begins behind `after`, and the last of them if more follow."""
    rows, last = [], None
    for o in items:
        name = o["name"]
        at = name.find(delimiter, len(prefix)) if delimiter else -1
        name, o = (name[:at + len(delimiter)], None) if at >= 0 else (name, o)
        if (after is not None and name.encode() <= after.encode()) or (rows and rows[-1][0] == name and o is None):
            continue
        if len(rows) == want:
            last = rows[-1][0]
            break
        rows.append((name, o))
    return [o for _, o in rows if o], [n for n, o in rows if not o], last


def multipart(headers, body):
    """The resource and the bytes of an upload in one request; the type of the bytes."""
    mark = re.search(r'boundary="?([^";]+)', headers.get("Content-Type") or "")
    if not mark:
        raise Refused(400, "no boundary")
    parts = body.split(b"--" + mark[1].encode())
    head, _, resource = parts[1].partition(b"\r\n\r\n")
    begins = body.index(b"\r\n\r\n", body.index(parts[2]) if parts[2] else 0) + 4
    ends = body.rindex(b"\r\n--" + mark[1].encode())
    kind = re.search(rb"(?im)^content-type:\s*(.*?)\s*$", parts[2].partition(b"\r\n\r\n")[0])
    return json.loads(resource), body[begins:ends], kind[1].decode() if kind else None


class Json:
    """The half of the front that speaks JSON; the other half answers with `reply`."""

    def json(self, body):
        try:
            self.routed(body)
        except Refused as refused:
            status, message = refused.args
            self.said({"error": {"code": status, "message": message}}, status)

    def said(self, value, status=200):
        text = b"" if status == 304 else json.dumps(value).encode()
        self.reply(status, [("Content-Type", "application/json; charset=UTF-8")], text)

    def routed(self, body):
        url = urlsplit(self.path)
        at = url.path.split("/")
        if at[1] == "upload" and (self.command in ("POST", "PUT") or "upload_id" in self.q):
            return self.uploaded(unquote(at[5]), body)
        if at[1:4] != ["storage", "v1", "b"] and at[1:5] != ["download", "storage", "v1", "b"]:
            return self.pass_on(body)
        at = [unquote(part) for part in (at[5:] if at[1] == "download" else at[4:])]
        if len(at) == 2 and at[1] == "o" and self.command == "GET":
            return self.listing(at[0])
        if len(at) < 3 or at[1] != "o":
            return self.bucket_of_json(at, body)
        bucket, name, rest = at[0], at[2], at[3:]
        if self.command in ("GET", "HEAD"):
            hold(bucket, name, {**self.q, "reading": True})
            return self.pass_on(body, bucket, name)
        with changing:
            if rest[:1] == ["compose"]:
                return self.composed(bucket, name, json.loads(body or b"{}"), body)
            if rest[:1] in (["rewriteTo"], ["copyTo"]):
                return self.rewritten((bucket, name), (rest[2], rest[4]), body)
            hold(bucket, name, self.q)
            if self.q.get("generation"):
                now = stat(bucket, name)[1]
                if not now or str(now["generation"]) != self.q["generation"]:
                    raise Refused(404, "No such object: %s/%s" % (bucket, name))
            if self.command != "DELETE":
                return self.changed(bucket, name, body)
            self.pass_on(body)

    def changed(self, bucket, name, body):
        """Another metadata of the same bytes: the generation stays."""
        before = stat(bucket, name)[1]
        if not before:
            raise Refused(404, "No such object: %s/%s" % (bucket, name))
        asked = json.loads(body or b"{}")
        if self.command == "PATCH" and "metadata" in asked:
            # The emulator never takes a name away, so it is told the whole.
            merged = {**before.get("metadata", {}), **asked["metadata"]} if asked["metadata"] else {}
            asked["metadata"] = {k: v for k, v in merged.items() if v is not None}
            self.command = "PUT"
            kept = ("contentType", "cacheControl", "contentDisposition", "contentEncoding", "contentLanguage")
            asked = {**{k: before[k] for k in kept if k in before}, **asked}
        status, data = self.passed(json.dumps(asked).encode(), {"Content-Type": "application/json"})
        if status == 200:
            o = {"kind": "storage#object", **json.loads(data)}
            which = (bucket, name, str(o["generation"]))
            patched[which] = patched.get((bucket, name, str(before["generation"])), 0) + 1
            if before.get("componentCount"):
                compose_known(bucket, o, before["componentCount"])
            data = json.dumps(cleaned(o)).encode()
        self.reply(status, [("Content-Type", "application/json; charset=UTF-8")], data)

    def bucket_of_json(self, at, body):
        if self.command == "DELETE" and len(at) == 1:
            status, items = all_under(at[0], "")
            if status == 200 and items:
                raise Refused(409, "The bucket you tried to delete is not empty.")
        self.pass_on(body)

    def listing(self, bucket):
        q = self.q
        want = min(int(q.get("maxResults") or PAGE_MAX), PAGE_MAX)
        status, items = all_under(bucket, q.get("prefix", ""))
        if status != 200:
            return self.reply(status, [("Content-Type", "application/json")], items)
        after = base64.urlsafe_b64decode(q["pageToken"]).decode() if q.get("pageToken") else None
        items = [o for o in items if o["name"].encode() >= q.get("startOffset", "").encode()
                 and (not q.get("endOffset") or o["name"].encode() < q["endOffset"].encode())]
        objects, prefixes, last = page_of(items, q.get("prefix", ""), q.get("delimiter", ""), after, want)
        page = {"kind": "storage#objects"}
        page.update({"items": objects} if objects else {}, **({"prefixes": prefixes} if prefixes else {}))
        if last is not None:
            page["nextPageToken"] = base64.urlsafe_b64encode(last.encode()).decode()
        self.said(page)

    def composed(self, bucket, name, asked, body):
        hold(bucket, name, self.q)
        sources, count = asked.get("sourceObjects") or [], 0
        if not 1 <= len(sources) <= 32:
            raise Refused(400, "The number of source components must be between 1 and 32")
        for source in sources:
            status, o = stat(bucket, source["name"], source.get("generation"))
            if status != 200:
                raise Refused(404, "Object %s (generation: %s) not found." % (source["name"], source.get("generation")))
            hold(bucket, source["name"], source.get("objectPreconditions") or {})
            count += o.get("componentCount") or 1
        status, data = self.passed(body)
        if status == 200:
            compose_known(bucket, json.loads(data), count)
            data = json.dumps(cleaned(json.loads(data))).encode()
        self.reply(status, [("Content-Type", "application/json; charset=UTF-8")], data)

    def rewritten(self, source, target, body):
        hold(*target, self.q)
        hold(*source, {k: self.q.get("ifSource" + k[2:]) for k in CONDITIONS})
        status, o = stat(*source, self.q.get("sourceGeneration"))
        if status != 200:
            raise Refused(404, "No such object: %s/%s" % source)
        status, data = self.passed(body, {"Content-Type": "application/json"})
        if status == 200:
            said = json.loads(data)
            made = said.get("resource", said)
            if o.get("componentCount"):
                compose_known(target[0], made, o["componentCount"])
            cleaned(made)
            data = json.dumps(said).encode()
        self.reply(status, [("Content-Type", "application/json; charset=UTF-8")], data)

    def uploaded(self, bucket, body):
        q, way = self.q, self.q.get("uploadType")
        if "upload_id" in q:
            return self.chunk(body)
        if way == "resumable":
            return self.begun(bucket, body)
        with changing:
            if way == "media":
                # The emulator's own way for this knows no conditions.
                resource, data, kind = {"name": q.get("name", "")}, body, self.headers.get("Content-Type")
            else:
                resource, data, kind = multipart(self.headers, body)
                resource.setdefault("name", q.get("name", ""))
            hold(bucket, resource["name"], q)
            if resource.setdefault("contentType", kind or "application/octet-stream") != (kind or resource["contentType"]):
                raise Refused(400, "Content-Type specified in the upload (%s) does not match Content-Type specified in "
                              "metadata (%s)." % (kind, resource["contentType"]))
            if resource.get("md5Hash") and base64.b64decode(resource["md5Hash"]) != hashlib.md5(data).digest():
                raise Refused(400, "Provided MD5 hash does not match calculated MD5 hash.")
            status, out = store(bucket, resource, data)
        self.reply(status, [("Content-Type", "application/json; charset=UTF-8")], out)

    def begun(self, bucket, body):
        resource = json.loads(body or b"{}")
        resource.setdefault("name", self.q.get("name", ""))
        if self.headers.get("X-Upload-Content-Type"):
            resource.setdefault("contentType", self.headers["X-Upload-Content-Type"])
        hold(bucket, resource["name"], self.q)
        if call("GET", "/storage/v1/b/" + seg(bucket))[0] != 200:
            raise Refused(404, "The specified bucket does not exist.")
        mark = uuid.uuid4().hex
        # A session is a secret of its own: its id stands for the conditions too.
        sessions[mark] = {"bucket": bucket, "resource": resource, "q": dict(self.q), "bytes": bytearray(), "done": None}
        place = "http://%s/upload/storage/v1/b/%s/o?uploadType=resumable&upload_id=%s" % (
            self.headers.get("Host") or "127.0.0.1:%d" % PORT, seg(bucket), mark)
        self.reply(200, [("Location", place), ("X-GUploader-UploadID", mark)])

    def chunk(self, body):
        """The next bytes of a session, or the question how far it is."""
        known = sessions.get(self.q["upload_id"])
        if not known:
            raise Refused(404, "no such upload")
        if self.command == "DELETE":
            sessions.pop(self.q["upload_id"])
            return self.reply(499)
        span = re.fullmatch(r"bytes (\*|(\d+)-(\d+))/(\*|\d+)", self.headers.get("Content-Range") or
                            ("bytes 0-%d/%d" % (len(body) - 1, len(body)) if body else "bytes */0"))
        if not span or (span[2] and int(span[3]) + 1 - int(span[2]) != len(body)):
            raise Refused(400, "Failed to parse Content-Range header.")
        with changing:
            if known["done"] is None:
                self.grown(known, span, body)
            if known["done"] is not None:
                return self.reply(200, [("Content-Type", "application/json; charset=UTF-8")], known["done"])
        have = len(known["bytes"])
        self.reply(308, [("Range", "bytes=0-%d" % (have - 1))] if have else [])

    def grown(self, known, span, body):
        have = known["bytes"]
        if span[2]:
            if span[4] == "*" and len(body) % CHUNK:
                raise Refused(400, "Invalid request. The number of bytes uploaded is required to be equal or greater "
                              "than 262144, except for the final request (it's recommended to be the exact multiple of 262144).")
            if int(span[2]) > len(have):
                raise Refused(503, "Invalid request. There were %d bytes uploaded." % len(have))
            # What was there already is not written anew.
            have += body[len(have) - int(span[2]):]
        if span[4] != "*" and len(have) >= int(span[4]):
            resource = known["resource"]
            hold(known["bucket"], resource["name"], known["q"])
            if resource.get("md5Hash") and base64.b64decode(resource["md5Hash"]) != hashlib.md5(have).digest():
                raise Refused(400, "Provided MD5 hash does not match calculated MD5 hash.")
            status, out = store(known["bucket"], resource, bytes(have))
            if status != 200:
                raise Refused(status, "not stored")
            known.update(done=out, bytes=bytearray())

    def passed(self, body, more=None):
        """What the emulator says, conditions taken away."""
        url = urlsplit(self.path)
        query = [(k, v) for k, v in parse_qsl(url.query, keep_blank_values=True)
                 if k not in CONDITIONS and not k.startswith("ifSource")]
        path = url.path + ("?" + urlencode(query) if query else "")
        head = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
        status, _, data = call(self.command, path, body, {**head, **(more or {})})
        return status, data

    def pass_on(self, body, bucket=None, name=None):
        """Gives the request to the emulator and its answer to the client."""
        head = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
        status, headers, data = call(self.command, self.path, body, head)
        keep = [(k, v) for k, v in headers if k.lower() not in HOP]
        length = next((int(v) for k, v in headers if k.lower() == "content-length"), None)
        kind = next((v for k, v in headers if k.lower() == "content-type"), "")
        if bucket is not None and status < 300 and (self.q.get("alt") == "media" or "/download/" in self.path):
            o = stat(bucket, name, self.q.get("generation"))[1] or {}
            keep = [(k, v) for k, v in keep if not (o.get("componentCount") and k.lower() in ("etag", "x-goog-hash"))]
            keep += [("X-Goog-Metageneration", str(o.get("metageneration", "1"))),
                     ("X-Goog-Stored-Content-Length", str(o.get("size", "")))]
            if o.get("componentCount"):
                keep += [("ETag", '"%s"' % o["etag"]), ("X-Goog-Hash", "crc32c=" + o.get("crc32c", ""))]
        elif data and status == 200 and kind.startswith("application/json") and self.command in ("GET", "PATCH", "PUT"):
            data = json.dumps(cleaned(json.loads(data))).encode()
            length = len(data)
        self.reply(status, keep, data, length if self.command == "HEAD" else None)
        return status, data


def store(bucket, resource, body):
    """Writes an object in one request to the emulator: status and answer."""
    mark = "longshore" + uuid.uuid4().hex
    data = b"".join((b"--", mark.encode(), b"\r\nContent-Type: application/json\r\n\r\n", json.dumps(resource).encode(),
                     b"\r\n--", mark.encode(), b"\r\nContent-Type: ",
                     resource.get("contentType", "application/octet-stream").encode(),
                     b"\r\n\r\n", body, b"\r\n--", mark.encode(), b"--\r\n"))
    status, _, out = call("POST", "/upload/storage/v1/b/%s/o?uploadType=multipart" % seg(bucket), data,
                          {"Content-Type": "multipart/related; boundary=" + mark})
    return status, out
