#!/usr/bin/env python3
"""FileStore: every function, sent just as the clients for browsers and for Python send it, and a page in a browser.

The requests are those that the two clients were seen to send; the paths, bodies and headers are theirs. The report is
the one of harness.py: a line per check group.
"""
import base64
import hashlib
import hmac
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request

REST, SERVICE = os.environ["REST_ENDPOINT"].rstrip("/"), "compatstore"
BROWSER = {"Accept": "application/json, text/javascript, */*; q=0.01", "Content-Type": "application/json",
           "X-Requested-With": "XMLHttpRequest"}
PYTHON = {"Accept": "*/*", "Content-type": "application/json"}
FAILED = []


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def token(user):
    """A token of a user, as the command line signs it."""
    now = int(time.time())
    text = part({"alg": "HS256"}) + "." + part({"longshore_user": user, "iat": now, "exp": now + 900, "jti": os.urandom(8).hex()})
    signed = hmac.new(os.environ["LONGSHORE_JWT_SECRET"].encode(), text.encode(), hashlib.sha256).digest()
    return text + "." + base64.urlsafe_b64encode(signed).rstrip(b"=").decode()


def send(method, path, body=None, headers=(), who="root"):
    """Status, headers and body of the answer; a body that says it is JSON comes parsed."""
    request = urllib.request.Request(REST + path, data=body, method=method, headers=dict(headers))
    if who:
        request.add_header("x-auth-token", token(who))
    try:
        answer = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        data, kind = answer.read(), answer.headers.get("Content-Type", "")
        return answer.status, answer.headers, json.loads(data) if "/json" in kind else data


def browser(function, values, path=None, who="root"):
    """As the client for browsers: the path in the address and once more in the body."""
    at = (values.get("path", "") if path is None else path).strip("/")
    url = f"/{SERVICE}/api/" + (at + "/" if at else "") + "@" + function
    return send("POST", url.replace(" ", "%20"), json.dumps(values).encode(), BROWSER, who)


def python(function, path, values, who="root"):
    """As the client for Python: the path in the address, options that are not set as null."""
    at = path.strip("/")
    url = f"/{SERVICE}/api/" + (at + "/" if at else "") + "@" + function
    return send("POST", url, json.dumps(values).encode(), PYTHON, who)


def same(got, wanted):
    assert got == wanted, f"{got!r} differs from {wanted!r}"


def result(answer, wanted, status=200):
    same((answer[0], answer[2].get("result")), (status, wanted))
    return answer[2]


def group(name):
    def run(check):
        try:
            check()
            print(f"PASS filestore: {name}", flush=True)
        except Exception as error:  # pylint: disable=broad-except
            FAILED.append(name)
            print(f"FAIL filestore: {name}: {' '.join(str(error).split())[:400]}", flush=True)
    return run


@group("ping in every form")
def _():
    result(send("GET", f"/{SERVICE}/api/ping", b'{"active": true}'), 1)
    result(browser("ping", {"path": "/"}), 1)
    result(python("ping", "/", {}), 1)
    result(browser("ping", {"fake": 422, "path": "/"}), 0, 422)
    result(python("ping", "/", {"fake": 404}), 0, 404)


@group("newItem by both clients, file and directory")
def _():
    made = {"path": "/", "name": "a.txt", "contents": "x", "type": "f", "mime": "text/plain", "header": '{"X-A":"1"}'}
    result(browser("newItem", made), True)
    result(result(browser("newItem", made), False, 409) and browser("newItem", {"path": "file2.txt", "contents": "2"}), True)
    blank = {"type": None, "contents": "<p>", "mime": None, "header": None, "decode": False}
    result(python("newItem", "/", {**blank, "name": "folder", "type": "d", "contents": None}), True)
    result(python("newItem", "/folder", {**blank, "name": "index.html"}), True)
    same(python("newItem", "/none", {**blank, "name": "a"})[2]["message"], "not_found")
    same(browser("newItem", {"path": "/", "name": "b", "type": "x"})[2]["invalid"], ["type"])


@group("getItem by all forms of address")
def _():
    for answer in (browser("getItem", {"path": "/a.txt"}), python("getItem", "/a.txt", {}), send("GET", f"/{SERVICE}/a.txt/@getItem"),
                   send("GET", f"/{SERVICE}/api/@getItem?" + "{%22path%22:%22/a.txt%22}"), send("GET", f"/{SERVICE}/api/getItem?path=/a.txt")):
        same(answer[0], 200)
        item = answer[2]
        same([item[name] for name in ("name", "type", "size", "mime", "header", "cache")], ["a.txt", "f", 1, "text/plain", '{"X-A":"1"}', ""])
        time.strptime(item["mtime"], "%Y/%m/%d %H:%M:%S")
    same(browser("getItem", {"path": "/folder"})[2]["type"], "d")
    same(python("getItem", "/none.txt", {})[0], 404)


@group("setItem, write and read")
def _():
    result(browser("setItem", {"path": "/a.txt", "contents": "y"}), True)
    encoded = base64.b64encode("zwei ü".encode()).decode()
    result(python("setItem", "/a.txt", {"contents": encoded, "mime": None, "header": "origin=local", "decode": True}), True)
    same(python("read", "/a.txt", {})[2], "zwei ü".encode())
    result(browser("write", {"path": "/a.txt", "contents": "z"}), True)
    url = f"/{SERVICE}/api/a.txt/@write"
    result(send("PUT", url, b'{"raw": 1}', {"Content-Type": "application/json", "Accept": "*/*"}), True)
    answer = browser("read", {"path": "/a.txt"})
    same((answer[2], answer[1]["Content-Type"]), ({"raw": 1}, "application/json"))
    same(send("PUT", f"/{SERVICE}/api/none.txt/@write", b"x")[0], 404)
    status, headers, _ = send("GET", f"/{SERVICE}/api/a.txt", who=None)
    same((status, headers["X-Content-Type-Options"]), (200, "nosniff"))


@group("a large file, streamed both ways")
def _():
    large = os.urandom(1 << 20) * 24
    result(python("newItem", "/", {"name": "large.bin"}), True)
    result(send("PUT", f"/{SERVICE}/api/large.bin/@write", large), True)
    same(hashlib.sha256(send("GET", f"/{SERVICE}/api/large.bin")[2]).digest(), hashlib.sha256(large).digest())
    status, headers, piece = send("GET", f"/{SERVICE}/large.bin", headers={"Range": "bytes=1000000-1000099"})
    same((status, piece, headers["Content-Range"]), (206, large[1000000:1000100], f"bytes 1000000-1000099/{len(large)}"))
    result(browser("removeItem", {"path": "/large.bin"}), 1)


@group("list with and without parameters")
def _():
    answer = send("GET", f"/{SERVICE}/api/@list", headers=BROWSER)[2]
    same(([item["name"] for item in answer["items"]], answer["start"], answer["size"]), (["a.txt", "file2.txt", "folder"], 1, 20))
    asked = {"path": "/", "type": "f", "sort": "size", "order": ">", "size": 50, "start": 1}
    same([item["name"] for item in browser("list", asked)[2]["items"]], ["a.txt", "file2.txt"])
    asked = {"type": None, "sort": "name", "order": None, "size": 50, "start": 1}
    same([item["type"] for item in python("list", "/folder", asked)[2]["items"]], ["f"])
    same(python("list", "/none", asked)[0], 404)


@group("move of a file and of a directory")
def _():
    result(browser("move", {"path": "/a.txt", "newpath": "another.txt"}), True)
    result(python("move", "/another.txt", {"newpath": "/folder/"}), True)
    result(python("move", "/folder", {"newpath": "/moved"}), True)
    same(send("GET", f"/{SERVICE}/api/moved/another.txt")[0], 200)
    result(browser("move", {"path": "/file2.txt", "newpath": "/moved/another.txt"}), False, 409)
    same(python("move", "/file2.txt", {"newpath": "/no_folder/"})[2]["message"], "not_found")


@group("allowed, permissions and owners")
def _():
    same(browser("allowed", {"permission": "list"}, "", None)[2], {"result": True, "list": True})
    same(python("allowed", "/", {"permissions": ["read", "write"]}, None)[2], {"result": False, "read": True, "write": False})
    entry = {"permission": "read", "groups": ["sys:noone"], "action": "replace"}
    result(browser("setPermissions", {"path": "/file2.txt", "permissions": [entry]}), True)
    same(send("GET", f"/{SERVICE}/api/file2.txt", who=None)[0], 403)
    told = {entry["permission"]: entry["groups"] for entry in browser("getPermissions", {"path": "/file2.txt"})[2]}
    same((told["read"], told["list"]), (["sys:noone"], ["sys:everyone"]))
    change = {"permission": "read", "group": ["sys:everyone", "admins"], "action": "add"}
    result(python("setPermissions", "/file2.txt", {"permissions": change}), True)
    same(send("GET", f"/{SERVICE}/api/file2.txt", who=None)[0], 200)
    same(browser("setPermissions", {"path": "/", "permissions": [{"permission": "x", "groups": ["y"]}]})[2]["message"], "unknown_permission")
    same(python("getOwner", "/file2.txt", {})[2], {"items": [{"path": "/file2.txt", "owner": "root"}], "owner": "root"})
    same(browser("setOwner", {"path": "/file2.txt", "owner": "no_user"})[2]["message"], "unknown_user")
    same(send("POST", f"/{SERVICE}/api/@list", b"{}", {**PYTHON, "x-auth-token": "wrong"}, None)[0], 401)


@group("an upload by a form")
def _():
    lines = ["--x", 'Content-Disposition: form-data; name="path"', "", "/moved", "--x",
             'Content-Disposition: form-data; name="file"; filename="C:\\fakepath\\form.txt"', "Content-Type: text/plain", "", "of a form", "--x--", ""]
    body = "\r\n".join(lines).encode()
    result(send("POST", f"/{SERVICE}/api/newItem", body, {"Content-Type": "multipart/form-data; boundary=x"}), True)
    same(send("GET", f"/{SERVICE}/api/moved/form.txt")[2], b"of a form")


def user_with_password():
    """Makes a user, where the program itself is at hand."""
    program = os.environ.get("LONGSHORE_PROGRAM")
    if not program:
        return False
    command = [program, "user", "create", "compatuser", "--password-stdin", "--replace", "--state", os.environ["LONGSHORE_STATE"]]
    subprocess.run(command, input="a long password\n", text=True, check=True, stdout=subprocess.DEVNULL)
    return True


if user_with_password():
    @group("sign-in, sign-out")
    def _():
        asked = {"identity": "compatuser", "password": "a long password"}
        signed = send("POST", "/users/api/token", json.dumps(asked).encode(), PYTHON, None)[2]["token"]
        held = {**PYTHON, "x-auth-token": signed}
        result(send("POST", f"/{SERVICE}/api/@newItem", b'{"name": "signed.txt"}', held, None), True)
        result(send("POST", "/users/api/signout", b"{}", held, None), True)
        same(send("POST", f"/{SERVICE}/api/@list", b"{}", held, None)[0], 401)
        same(send("POST", "/users/api/token", b'{"identity": "compatuser", "password": "wrong"}', PYTHON, None)[0], 401)
        result(browser("removeItem", {"path": "/signed.txt"}), 1)
else:
    print("SKIP filestore: sign-in, sign-out: the program is not at hand")


def in_browser(program):
    """A page of the store itself uploads, lists and reads in a browser, and what it found is in its text."""
    page = (pathlib.Path(__file__).parent / "filestore-page.html").read_text(encoding="utf-8").replace("TOKEN", token("root"))
    page = page.replace("SERVICE", SERVICE)
    result(browser("newItem", {"path": "/", "name": "page.html", "contents": page}), True)
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom",
               f"{REST}/{SERVICE}/page.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert "<p>page: done</p>" in done.stdout, done.stdout[-400:] or done.stderr[-400:]
    same(send("GET", f"/{SERVICE}/uploads/from-page.txt")[2], b"from the page")


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM:
    group("a page uploads and lists in a browser")(lambda: in_browser(CHROMIUM))
else:
    print("SKIP filestore: a page uploads and lists in a browser: no chromium on the PATH")


@group("removeItem counts")
def _():
    result(browser("removeItem", {"path": "/moved"}), 0, 422)
    result(python("removeItem", "/moved", {"recursive": True}), 4)
    result(python("removeItem", "/none", {"recursive": True}), 0, 404)
    for item in send("GET", f"/{SERVICE}/api/@list")[2]["items"]:
        same(browser("removeItem", {"path": "/" + item["name"], "recursive": True})[0], 200)
    same(send("GET", f"/{SERVICE}/api/@list")[2]["items"], [])


sys.exit(min(len(FAILED), 70))
