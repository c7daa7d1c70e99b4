#!/usr/bin/env python3
"""A reverse proxy that damages what an S3 server answers, so that selftest can see whether anybody notices.

    proxy.py http://127.0.0.1:9000 MODE     prints the port that it listens on

Modes: `clean` changes nothing. `flip` changes the first byte of each object that a GET brings. `quiet` does the same
and also takes away what a client program could check it by: checksum headers, and MD5s in ETags. `drop` leaves the
last key out of each listing page. Requests, the Host header among them, pass unchanged, so that signatures hold.
"""
import asyncio
import re
import sys
import urllib.parse

LISTING_BYTES_MAX = 8 * 1024 * 1024
BLOCK = 256 * 1024
IDLE_SECONDS = 0.5
MD5_ETAG = re.compile(rb'((?:&quot;|&#34;|")?)\b([0-9a-f]{32})\b(?!-)')


def is_object(target):
    """Whether a GET of this target brings the bytes of an object, and not some XML about it."""
    path, _, query = target.partition("?")
    names = {name for name, _ in urllib.parse.parse_qsl(query, keep_blank_values=True)}
    about = {"acl", "tagging", "uploadId", "uploads", "attributes", "retention", "legal-hold", "versions", "list-type"}
    return "/" in path.lstrip("/").rstrip("/") and not names & about


async def read_head(reader):
    """The first line and the headers, as pairs in their order; None when the connection was closed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    return first, [tuple(line.split(":", 1)) for line in lines]


def value(headers, name):
    return next((v.strip() for n, v in headers if n.lower() == name), None)


def render(first, headers):
    return "".join([first, "\r\n", *(f"{n}:{v}\r\n" for n, v in headers), "\r\n"]).encode("latin-1")


async def body_of(reader, headers, has_body=True, until_close=False):
    """The body as (data, framing before it, framing after it), block by block, so that any framing passes as it came."""
    if not has_body:
        return
    if (value(headers, "transfer-encoding") or "").lower() == "chunked":
        while True:
            size = await reader.readuntil(b"\r\n")
            left = int(size.split(b";")[0], 16)
            if left == 0:
                tail = b""
                while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
                    tail += line
                yield b"", size, tail + b"\r\n"
                return
            yield await reader.readexactly(left), size, await reader.readexactly(2)
    elif (length := value(headers, "content-length")) is not None:
        left = int(length)
        while left:
            data = await reader.read(min(left, BLOCK))
            if not data:
                raise ConnectionError("the body was cut")
            left -= len(data)
            yield data, b"", b""
    elif until_close:
        while data := await reader.read(BLOCK):
            yield data, b"", b""


async def send_request(reader, writer, headers):
    async for data, before, after in body_of(reader, headers):
        writer.write(before + data + after)
        await writer.drain()


def without_sums(headers):
    kept = [(n, v) for n, v in headers if not n.lower().startswith("x-amz-checksum-")]
    return [(n, hide_md5(v.encode()).decode()) if n.lower() == "etag" else (n, v) for n, v in kept]


def hide_md5(text):
    """An ETag that counts parts is no MD5 to any client."""
    return MD5_ETAG.sub(rb"\1\2-9", text)


def damaged_listing(text, mode):
    if mode == "quiet":
        return re.sub(rb"<ETag>.*?</ETag>", lambda found: hide_md5(found[0]), text)
    start = text.rfind(b"<Contents>")
    end = text.find(b"</Contents>", start)
    return text if start < 0 else text[:start] + text[end + len(b"</Contents>"):]


class Proxy:
    def __init__(self, upstream, mode):
        place = urllib.parse.urlsplit(upstream)
        self.place, self.mode = (place.hostname, place.port), mode

    async def serve(self, reader, writer):
        """One client connection and the one upstream connection that belongs to it."""
        upstream = None
        try:
            up_reader, upstream = await asyncio.open_connection(*self.place, limit=2**20)
            while head := await self.next_request(reader, up_reader):
                if not await self.exchange(head, reader, writer, up_reader, upstream):
                    break
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            for side in filter(None, (writer, upstream)):
                side.close()

    async def next_request(self, reader, up_reader):
        """The next head of the client; none when the server closes the idle connection, which the client must see too."""
        waiting = asyncio.create_task(read_head(reader))
        try:
            while not waiting.done():
                await asyncio.wait([waiting], timeout=IDLE_SECONDS)
                if not waiting.done() and up_reader.at_eof():
                    return None
            return waiting.result()
        finally:
            waiting.cancel()

    async def exchange(self, head, reader, writer, up_reader, upstream):
        """Request and answer at the same time, for the server may answer before it has the body."""
        upstream.write(render(*head))
        sending = asyncio.create_task(send_request(reader, upstream, head[1]))
        try:
            keep = await self.answer(head, writer, up_reader, sending)
            if keep and not sending.done():
                await asyncio.wait([sending], timeout=0.2)
            return keep and sending.done() and not sending.exception()
        finally:
            sending.cancel()

    async def answer(self, head, writer, up_reader, sending):
        method, target, _ = head[0].split(" ", 2)
        while True:
            answer = await read_head(up_reader)
            if answer is None:
                return False
            first, headers = answer
            status = int(first.split()[1])
            if status >= 200:
                break
            writer.write(render(first, headers))
        if value(head[1], "expect") and not sending.done():
            # Refused before the client was told to go on: whether it still sends the body nobody can know.
            headers.append(("Connection", " close"))
        has_body = method != "HEAD" and status not in (204, 304)
        damage = method == "GET" and status in (200, 206)
        listing = damage and "xml" in (value(headers, "content-type") or "") and not is_object(target)
        if self.mode == "quiet" and not listing:
            headers = without_sums(headers)
        if listing and self.mode in ("drop", "quiet"):
            await self.answer_listing(first, headers, writer, up_reader)
        else:
            flip = damage and is_object(target) and self.mode in ("flip", "quiet")
            writer.write(render(first, headers))
            async for data, before, after in body_of(up_reader, headers, has_body, until_close=True):
                if flip and data:
                    data, flip = bytes([data[0] ^ 1]) + data[1:], False
                writer.write(before + data + after)
                await writer.drain()
        framed = not has_body or value(headers, "content-length") or value(headers, "transfer-encoding")
        return bool(framed) and ("connection", "close") not in [(n.lower(), v.strip().lower()) for n, v in headers]

    async def answer_listing(self, first, headers, writer, up_reader):
        text = b""
        async for data, _, _ in body_of(up_reader, headers, until_close=True):
            text += data
            if len(text) > LISTING_BYTES_MAX:
                raise ConnectionError("a listing larger than any page")
        text = damaged_listing(text, self.mode)
        kept = [(n, v) for n, v in headers if n.lower() not in ("content-length", "transfer-encoding")]
        writer.write(render(first, kept + [("Content-Length", f" {len(text)}")]) + text)
        await writer.drain()


async def main(upstream, mode):
    server = await asyncio.start_server(Proxy(upstream, mode).serve, "127.0.0.1", 0, limit=2**20)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[2] not in ("clean", "flip", "quiet", "drop"):
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1], sys.argv[2]))
