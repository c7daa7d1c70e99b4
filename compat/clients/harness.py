"""What every client script shares: where the server is, a source to compare with, and the one-line report.

A check group is a `with report.group("what"):` block. It prints one PASS or FAIL line, and a failed group
does not stop the next one unless it was opened with needed=True. A comparison of ours that fails always says
"differs", so that selftest can tell it from an error that the client program found by itself.

Sizes: COMPAT_LARGE_MIB (64), COMPAT_TREE_FILES (500); COMPAT_BIG=1 makes them 3 GiB and 5,000.
COMPAT_TIMEOUT is the number of seconds one command may take (300; 3,600 when big).
"""
import base64
import contextlib
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zlib

ENDPOINT = os.environ.get("S3_ENDPOINT", "http://127.0.0.1:9000").rstrip("/")
ACCESS_KEY = os.environ.get("AWS_ACCESS_KEY_ID", "")
SECRET_KEY = os.environ.get("AWS_SECRET_ACCESS_KEY", "")
REGION = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
BIG = os.environ.get("COMPAT_BIG") == "1"
LARGE_MIB = int(os.environ.get("COMPAT_LARGE_MIB", 3072 if BIG else 64))
TREE_FILES = int(os.environ.get("COMPAT_TREE_FILES", 5000 if BIG else 500))
TIMEOUT = int(os.environ.get("COMPAT_TIMEOUT", 3600 if BIG else 300))
SKIPPED = 77
MIB = 1024 * 1024

# Names that are legal on a file system and that something on the way likes to change.
ODD_NAMES = [
    "with space.txt", " leading and trailing ", "two  spaces", "plus+sign", "per%cent", "per%20encoded", "per%2Fslash",
    "hash#tag", "amp&and", "semi;colon", "eq=ual", "comma,", "at@sign", "colon:x", "dollar$", "tilde~", "caret^",
    "single'quote", 'double"quote', "less<more>", "pipe|", "brace{x}", "paren(1)", "bang!", "back`tick",
    "ünïcode", "日本語/ファイル.txt", "emoji 😀", "e\u0301 decomposed", "é composed", "upper/UPPER", "upper/upper",
    "dots/..hidden", "dots/.hidden", "dots/trailing.", "dots/a..b", "-dash", "_under", "long/" + "n" * 200,
    "deep/1/2/3/4/5/6/7/8/9/leaf", "empty/zero-byte",
]
GLOB_NAMES = ["star*", "quest?ion", "bracket[1]", "back\\slash"]


class Failure(Exception):
    """A check that did not hold."""


class Report:
    """Prints one line per check group and counts the failures."""

    def __init__(self, client):
        self.client, self.failed = client, 0

    @contextlib.contextmanager
    def group(self, what, needed=False):
        try:
            yield
        except Exception as error:  # Every error of a check is its result, whatever its type.
            self.failed += 1
            why = " ".join(f"{error}".split()) if isinstance(error, Failure) else f"{type(error).__name__}: {error}"
            print(f"FAIL {self.client}: {what}: {' '.join(why.split())[:400]}", flush=True)
            if needed:
                self.end()
        else:
            print(f"PASS {self.client}: {what}", flush=True)

    def end(self):
        sys.exit(min(self.failed, 70))


@contextlib.contextmanager
def session(client):
    """A report and a temporary directory for one client; leaves with the number of failures."""
    report = Report(client)
    work = tempfile.mkdtemp(prefix=f"compat-{client}-")
    try:
        yield report, work
    finally:
        shutil.rmtree(work, ignore_errors=True)
    report.end()


def need(client, *tools):
    """Ends the script as skipped, naming the first tool that is not there."""
    for tool in tools:
        if not shutil.which(tool):
            print(f"SKIP {client}: no {tool} on the PATH", flush=True)
            sys.exit(SKIPPED)


def bucket_name(client):
    return f"compat-{client}-{os.getpid():x}-{time.time_ns() // 1000000:x}"


def execute(*command, env=None, cwd=None):
    """Runs a command within the time limit and returns its finished process, whatever its exit code."""
    merged = {**os.environ, **(env or {})}
    try:
        return subprocess.run(command, env=merged, cwd=cwd, capture_output=True, text=True, timeout=TIMEOUT,
                              stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Failure(f"{os.path.basename(command[0])} took longer than {TIMEOUT} s") from None


def run(*command, env=None, cwd=None):
    """Runs a command that must succeed and returns its standard output."""
    done = execute(*command, env=env, cwd=cwd)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-3:]
        raise Failure(f"{os.path.basename(command[0])} exit code {done.returncode}: {' / '.join(said)}")
    return done.stdout


def refuse(*command, env=None, cwd=None):
    """Runs a command that must not succeed and returns what it printed."""
    done = execute(*command, env=env, cwd=cwd)
    if done.returncode == 0:
        raise Failure(f"{' '.join(command[:4])} … succeeded and should not")
    return done.stdout + done.stderr


def expect(condition, why):
    if not condition:
        raise Failure(why)


def same(got, wanted, what):
    """Compares two plain values, or two mappings or sequences by what is missing and what is extra."""
    if got == wanted:
        return
    if isinstance(got, dict) and isinstance(wanted, dict):
        missing = sorted(set(wanted) - set(got))
        extra = sorted(set(got) - set(wanted))
        changed = sorted(k for k in set(got) & set(wanted) if got[k] != wanted[k])
        raise Failure(f"{what} differs: missing {missing[:3]} ({len(missing)}), extra {extra[:3]} ({len(extra)}), "
                      f"changed {changed[:3]} ({len(changed)})")
    if isinstance(got, list) and isinstance(wanted, list):
        missing = [k for k in wanted if k not in got]
        extra = [k for k in got if k not in wanted]
        raise Failure(f"{what} differs: missing {missing[:3]} ({len(missing)}), extra {extra[:3]} ({len(extra)}), "
                      f"or the order: {len(got)} entries against {len(wanted)}")
    raise Failure(f"{what} differs: {str(got)[:120]!r}, wanted {str(wanted)[:120]!r}")


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(MIB):
            digest.update(block)
    return digest.hexdigest()


def same_file(got, wanted):
    same(os.path.getsize(got), os.path.getsize(wanted), "size")
    same(sha256_of(got), sha256_of(wanted), "sha256")


def large_file(path, mib=None, seed=1):
    """A file of random bytes, the same for the same seed; one byte over whole MiB, so that no part is even."""
    source = random.Random(seed)
    with open(path, "wb") as file:
        for _ in range(LARGE_MIB if mib is None else mib):
            file.write(source.randbytes(MIB))
        file.write(b"!")
    return path


def source_tree(root, without=(), count=None):
    """A directory with odd names and ordinary ones, of sizes from nothing to 20,000 bytes."""
    source = random.Random(2)
    count = TREE_FILES if count is None else count
    odd = [name for name in ODD_NAMES + GLOB_NAMES if not any(part in name for part in without)]
    plain = [f"dir{n % 17}/sub{n % 5}/file{n:05}.bin" for n in range(max(0, count - len(odd)))]
    for name in odd + plain:
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(b"" if name.startswith("empty/") else source.randbytes(source.randint(1, 20000)))
    return root


def tree(root, prefix=""):
    """Relative path to (size, sha256) of every file below a directory."""
    found = {}
    for directory, _, names in os.walk(root):
        for name in names:
            path = os.path.join(directory, name)
            found[prefix + os.path.relpath(path, root)] = (os.path.getsize(path), sha256_of(path))
    return found


def sizes(root, prefix=""):
    """Relative path to size of every file below a directory: what a listing shows."""
    return {name: size for name, (size, _) in tree(root, prefix).items()}


def same_tree(got, wanted):
    same(tree(got), tree(wanted), "tree")


def _crc(data, polynomial, width):
    """A reflected CRC with all bits set before and inverted after, bit by bit by a table of 256 entries."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ polynomial if value & 1 else value >> 1
        table.append(value)
    mask = (1 << width) - 1
    crc = mask
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    return (crc ^ mask).to_bytes(width // 8, "big")


def checksum(algorithm, data):
    """The base64 value of an x-amz-checksum header, computed without any S3 client."""
    value = {
        "CRC32": lambda: zlib.crc32(data).to_bytes(4, "big"),
        "CRC32C": lambda: _crc(data, 0x82F63B78, 32),
        "CRC64NVME": lambda: _crc(data, 0x9A6C9329AC4BC9B5, 64),
        "SHA1": lambda: hashlib.sha1(data).digest(),
        "SHA256": lambda: hashlib.sha256(data).digest(),
    }[algorithm]()
    return base64.b64encode(value).decode()


ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]
