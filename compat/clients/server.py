"""Starts the server for a test run, runs client scripts against it, and collects their lines."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "backends"))
import backend  # noqa: E402

ROOT = HERE.parent.parent
CLIENTS = {"aws": "aws.py", "boto3": "boto.py", "rclone": "rclone.py", "s5cmd": "s5.py", "s3cmd": "s3cmd.py",
           "restic": "restic.py", "js": "js/check.mjs", "s3fs": "fs.py", "obstore": "obs.py", "duckdb": "duck.py",
           "deltalake": "delta.py", "lockfile": "lockfile.py",
           "go": "../../target/compat/go-client", "rust": "../../target/compat/debug/longshore-compat-rust",
           "java": "java/check"}
# What speaks another protocol than S3, on the other listener.
OTHERS = {"supabase": "supabase/check.mjs", "supabase-s3": "mounted.py", "browser": "browser/check.mjs",
          "loopback": "loopback/check.mjs", "filestore": "filestore.py"}
JWT_SECRET = "compat-jwt-secret-of-32-characters-or-more"
# What every server of a run serves besides.
SERVICES = '[[filestore.service]]\nname = "compatstore"\nprivate = false\n'
ANON_KEY = "compat-anon-key-that-everybody-knows"
READY_SECONDS, STOP_SECONDS, CLIENT_SECONDS = 30, 60, 4 * 3600


def environment(endpoint, access_key, secret_key, rest=os.environ.get("REST_ENDPOINT", "")):
    """The whole of what a client script knows about the server."""
    tools = os.pathsep.join([str(ROOT / ".venv/bin"), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": tools, "S3_ENDPOINT": endpoint, "REST_ENDPOINT": rest, "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": secret_key, "AWS_DEFAULT_REGION": os.environ.get("AWS_DEFAULT_REGION", "us-east-1"),
            "PYTHONDONTWRITEBYTECODE": "1", "NODE_NO_WARNINGS": "1"}


def ready_line(server):
    """The line `longshore ready s3=… rest=…`, or nothing when the server ended or took too long."""
    signal.signal(signal.SIGALRM, lambda *_: server.kill())
    signal.alarm(READY_SECONDS)
    line = server.stdout.readline()
    signal.alarm(0)
    return line


@contextlib.contextmanager
def longshore(binary, problems, entry="", database=None):
    """Starts the server, with more of a configuration; afterwards appends to `problems` what was wrong with its end.

    With the variables of a database its catalog is there, and the clients get them too, for what only SQL can do.
    """
    data = tempfile.mkdtemp(prefix="compat-longshore-")
    keys = {"LONGSHORE_ROOT_ACCESS_KEY": "compatroot", "LONGSHORE_ROOT_SECRET_KEY": "compat-root-secret"}
    secret = {"LONGSHORE_JWT_SECRET": JWT_SECRET, "LONGSHORE_ANON_KEY": ANON_KEY}
    with open(os.path.join(data, "server.log"), "w+") as log:
        command = [binary, "serve", os.path.join(data, "root"), "--s3-listen", "127.0.0.1:0", "--rest-listen", "127.0.0.1:0"]
        os.mkdir(command[2])
        config = os.path.join(data, "longshore.toml")
        pathlib.Path(config).write_text(f"{entry}\n{SERVICES}", encoding="utf-8")
        command += ["--config", config]
        if database:
            secret |= database | {"LONGSHORE_CATALOG": migrated(binary, data, database)}
        server = subprocess.Popen(command, env={**os.environ, **keys, **secret}, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            line = ready_line(server)
            if not line.startswith("longshore ready s3="):
                problems.append(f"FAIL server: start: said {line!r}")
                yield None
            else:
                rest = line.split("rest=")[1].split()[0]
                beside = {"LONGSHORE_PROGRAM": binary, "LONGSHORE_STATE": os.path.join(command[2], ".longshore")}
                yield {**environment(line.split("s3=")[1].split()[0], *keys.values(), rest), **secret, **beside}
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                code = server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.kill()
                code = f"none within {STOP_SECONDS} s"
            if code != 0:
                problems.append(f"FAIL server: stop by SIGTERM: exit code {code}")
            if problems:
                log.seek(0)
                sys.stderr.write("".join(log.readlines()[-40:]))
            shutil.rmtree(data, ignore_errors=True)


def migrated(binary, data, database):
    """Makes the catalog's tables in the database, and returns the address that the server is to use."""
    place = f"127.0.0.1:{database['PGPORT']}/postgres"
    admin = f"postgres://{database['PGUSER']}:{database['PGPASSWORD']}@{place}"
    subprocess.run([binary, "catalog", "migrate", "--login", database["LONGSHORE_LOGIN"], "--state", os.path.join(data, "none"),
                    "--catalog", admin], check=True, stdout=subprocess.DEVNULL)
    return f"postgres://{database['LONGSHORE_LOGIN']}:{database['LONGSHORE_LOGIN_PASSWORD']}@{place}"


def node_client(name):
    """Installs what the package-lock.json of a client names, once; returns why that failed."""
    if not shutil.which("node"):
        return "no node on the PATH"
    lock, done = HERE / name / "package-lock.json", HERE / name / "node_modules/.package-lock.json"
    if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
        return None
    if not shutil.which("npm"):
        return "no npm on the PATH"
    installed = subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=HERE / name, capture_output=True, text=True)
    return None if installed.returncode == 0 else f"npm ci: {installed.stderr.strip().splitlines()[-1:]}"


def go_client():
    """Builds the program of the Go SDK; returns why that failed."""
    if not shutil.which("go"):
        return "no go on the PATH"
    built = subprocess.run(["go", "build", "-o", HERE / CLIENTS["go"], "."], cwd=HERE / "go", capture_output=True,
                           text=True)
    return None if built.returncode == 0 else f"go build: {built.stderr.strip().splitlines()[-1:]}"


def rust_client():
    """Builds the program of the Rust SDK; returns why that failed."""
    if not shutil.which("cargo"):
        return "no cargo on the PATH"
    built = subprocess.run(["cargo", "build", "--quiet", "--locked", "--ignore-rust-version", "--manifest-path",
                            HERE / "rust/Cargo.toml", "--target-dir", ROOT / "target/compat"], capture_output=True, text=True)
    return None if built.returncode == 0 else f"cargo build: {built.stderr.strip().splitlines()[-1:]}"


def java_client():
    """Builds the program of the Java SDK, and notes where its libraries are; returns why that failed."""
    if not shutil.which("mvn") or not shutil.which("java"):
        return "no mvn or no java on the PATH"
    built = subprocess.run(["mvn", "-q", "-B", "compile", "dependency:build-classpath",
                            f"-Dmdep.outputFile={ROOT / 'target/compat/java/classpath'}"], cwd=HERE / "java",
                           capture_output=True, text=True)
    return None if built.returncode == 0 else f"mvn: {built.stdout.strip().splitlines()[:1]}"


# What is built or installed before a client can run.
PREPARED = {"js": lambda: node_client("js"), "supabase": lambda: node_client("supabase"),
            "browser": lambda: node_client("browser"), "loopback": lambda: node_client("loopback"), "go": go_client,
            "rust": rust_client, "java": java_client}


def run_client(name, env):
    """The lines of one client; a script that breaks off, or says nothing, has failed."""
    if name in PREPARED and (why := PREPARED[name]()):
        return [f"SKIP {name}: {why}"]
    try:
        done = subprocess.run([HERE / {**CLIENTS, **OTHERS}[name]], env=env, capture_output=True, text=True, timeout=CLIENT_SECONDS)
    except subprocess.TimeoutExpired:
        return [f"FAIL {name}: took longer than {CLIENT_SECONDS} s"]
    lines = [line for line in done.stdout.splitlines() if line.startswith(("PASS ", "FAIL ", "SKIP "))]
    failures = sum(line.startswith("FAIL ") for line in lines)
    skipped = any(line.startswith("SKIP ") for line in lines)
    if not lines or (not skipped and min(failures, 70) != done.returncode):
        lines.append(f"FAIL {name}: script: exit code {done.returncode}: {' '.join(done.stderr.split())[-300:]}")
    return lines


def add_arguments(parser):
    """The options that run and selftest share."""
    parser.add_argument("--binary")
    parser.add_argument("--endpoint")
    parser.add_argument("--provider", choices=backend.SCRIPTS)
    parser.add_argument("--catalog", choices=["postgres"])
    parser.add_argument("client", nargs="*", choices=[[], *CLIENTS, *OTHERS], default=[])


@contextlib.contextmanager
def chosen(asked, problems):
    """The environment for the clients: of the server that --endpoint names, or of one that is started here."""
    if asked.endpoint:
        yield environment(asked.endpoint, os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
        return
    built = [str(ROOT / f"target/{kind}/longshore") for kind in ("release", "debug")]
    binary = asked.binary or next((path for path in built if os.path.exists(path)), built[0])
    with contextlib.ExitStack() as stack:
        entry = stack.enter_context(backend.running(asked.provider))[1] if asked.provider else ""
        database = stack.enter_context(backend.postgres()) if asked.catalog else None
        yield stack.enter_context(longshore(binary, problems, entry, database))
    if not problems:
        problems.append("PASS server: start, stop by SIGTERM")


def closing(lines):
    """Prints the count and returns the exit code."""
    count = {word: sum(line.startswith(word) for line in lines) for word in ("PASS", "FAIL", "SKIP")}
    print(f"{count['PASS']} passed, {count['FAIL']} failed, {count['SKIP']} skipped")
    return 1 if count["FAIL"] or not count["PASS"] or (count["SKIP"] and os.environ.get("CI") == "true") else 0
