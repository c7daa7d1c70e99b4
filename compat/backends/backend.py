#!/usr/bin/env python3
"""Runs a command beside the storage of a cloud, as far as one machine has it.

    compat/backends/backend.py azure|google|amazon|openstack|rackspace|remote|memory [--name NAME] -- COMMAND [ARGUMENTS]

The storage is started for the command and stopped with it. The command's environment has the variables that the
provider's own client programs read (client.py among them), and PROVIDER_ENTRY: a file with the entry of Longshore's
configuration, which is called NAME (default). Its exit code is the command's.
"""
import argparse
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SCRIPTS = {"azure": ["azurite"], "google": ["gcs"], "amazon": ["s3"], "openstack": ["swift"],
           "rackspace": ["swift", "identity-v2"], "remote": ["loopback"], "memory": []}
SETTINGS = {
    "azure": {"endpoint": "AZURE_STORAGE_ENDPOINT", "storageAccount": "AZURE_STORAGE_ACCOUNT_NAME",
              "storageAccessKey": "AZURE_STORAGE_ACCOUNT_KEY"},
    "google": {"endpoint": "STORAGE_EMULATOR_HOST", "projectId": "GCS_PROJECT"},
    "amazon": {"endpoint": "AWS_ENDPOINT_URL", "keyId": "AWS_ACCESS_KEY_ID", "key": "AWS_SECRET_ACCESS_KEY",
               "region": "AWS_REGION"},
    "openstack": {"authUrl": "ST_AUTH", "username": "ST_USER", "password": "ST_KEY"},
    "rackspace": {"authUrl": "RACKSPACE_AUTH_URL", "username": "RACKSPACE_USERNAME", "apiKey": "RACKSPACE_API_KEY",
                  "region": "RACKSPACE_REGION"},
    "remote": {"url": "LOOPBACK_URL"},
    "memory": {},
}
# Below the ports that the kernel gives to clients.
PORTS, PORTS_EACH = range(20000, 32000), 4


def free_ports():
    """The first of some ports in a row that are free."""
    at = PORTS.start + int.from_bytes(os.urandom(4), "big") % (len(PORTS) - PORTS_EACH)
    for first in [*range(at, PORTS.stop - PORTS_EACH, PORTS_EACH), *range(PORTS.start, at, PORTS_EACH)]:
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for port in range(first, first + PORTS_EACH):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise SystemExit("no ports are free")


@contextlib.contextmanager
def guarded(script, work, *arguments):
    """A backend that runs as long as this; its variables."""
    command = [HERE / "guard", f"{work}/{script}", script, str(free_ports()), *arguments]
    # The guard stops the backend once its input closes, whatever closes it.
    guard = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        said = []
        for line in guard.stdout:
            if line == "ready\n":
                break
            said.append(line)
        else:
            raise SystemExit(f"{script} does not start:\n{''.join(said)}")
        yield dict(line.rstrip("\n").split("=", 1) for line in said)
    finally:
        guard.stdin.close()
        guard.wait()


@contextlib.contextmanager
def running(provider, name="default"):
    """The variables of a storage's client programs, and its entry in the configuration."""
    # Swift keeps what it knows in extended attributes, which the usual place of temporary files may lack.
    place = HERE.parent.parent / "target"
    place.mkdir(exist_ok=True)
    work = tempfile.mkdtemp(prefix="backend-", dir=place)
    try:
        with contextlib.ExitStack() as stack:
            variables, arguments = {}, []
            for script in SCRIPTS[provider]:
                variables.update(stack.enter_context(guarded(script, work, *arguments)))
                arguments = [f"{work}/{script}/env"]
            lines = ["[[provider]]", f'name = "{name}"', f'provider = "{provider}"']
            lines += [f'{key} = "{variables[variable]}"' for key, variable in SETTINGS[provider].items()]
            yield variables, "\n".join(lines) + "\n"
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def postgres():
    """The variables of psql for a PostgreSQL of its own, and the login that a catalog in it is used by."""
    with tempfile.TemporaryDirectory(prefix="backend-") as work, guarded("postgres", work) as variables:
        yield variables


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("provider", choices=SCRIPTS)
    parser.add_argument("--name", default="default")
    # What stands behind the first -- is the command's, another -- among it.
    at = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    asked, command = parser.parse_args(sys.argv[1:at]), sys.argv[at + 1:]
    if not command:
        parser.error("a command is needed")
    with running(asked.provider, asked.name) as (variables, entry), tempfile.NamedTemporaryFile("w") as file:
        file.write(entry)
        file.flush()
        return subprocess.run(command, env={**os.environ, **variables, "PROVIDER_ENTRY": file.name}).returncode


if __name__ == "__main__":
    sys.exit(main())
