"""Servers on loopback that DVC remotes are tried on: what the machine lacks is a reason to skip, said in words."""

import contextlib
import functools
import http.server
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

Remote = dict[str, str]  # what `dvc remote modify` sets


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _answers(port: int, process: subprocess.Popen) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(f"no server came up on port {port}; its exit code is {process.poll()}")


@contextlib.contextmanager
def web(folder: Path) -> Iterator[Remote]:
    """A folder by HTTP, read-only."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield {"url": f"http://127.0.0.1:{server.server_port}"}
        server.shutdown()


@contextlib.contextmanager
def secure_shell(folder: Path) -> Iterator[Remote]:
    """A folder of this machine by a real sshd, with keys made for the occasion."""
    daemon = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if daemon is None:
        pytest.skip("no sshd on this machine (Debian: openssh-server)")
    if importlib.util.find_spec("dvc_ssh") is None:
        pytest.skip("dvc-ssh is not installed")
    keys = folder.parent / f"{folder.name} keys"
    keys.mkdir()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name], check=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # an empty folder that an sshd of root's asks for
    port = free_port()
    settings = {
        "Port": str(port), "ListenAddress": "127.0.0.1", "HostKey": f'"{keys / "host"}"', "PidFile": "none",
        "AuthorizedKeysFile": f'"{keys / "user.pub"}"', "StrictModes": "no", "UsePAM": "no",
        "PasswordAuthentication": "no", "PermitRootLogin": "prohibit-password", "Subsystem": "sftp internal-sftp",
    }  # fmt: skip
    (keys / "config").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    with subprocess.Popen([daemon, "-D", "-e", "-f", keys / "config"], stderr=subprocess.DEVNULL) as process:
        try:
            _answers(port, process)
            who = subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()
            yield {
                "url": f"ssh://{who}@127.0.0.1:{port}{folder}",
                "keyfile": str(keys / "user"),
                "allow_agent": "false",
            }
        finally:
            process.terminate()


@contextlib.contextmanager
def object_store() -> Iterator[Remote]:
    """An S3-compatible server with an empty bucket."""
    for module, package in (("moto", "moto[server]"), ("flask", "moto[server]"), ("dvc_s3", "dvc-s3")):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{package} is not installed")
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _answers(port, process)
            address = f"http://127.0.0.1:{port}"
            urllib.request.urlopen(urllib.request.Request(f"{address}/bucket", method="PUT")).close()
            secrets = {"access_key_id": "id", "secret_access_key": "secret", "region": "us-east-1"}
            yield {"url": "s3://bucket/results", "endpointurl": address, **secrets}
        finally:
            process.terminate()
