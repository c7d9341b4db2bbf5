"""What an account without rights tries on a machine where a coordinator or a center runs; prints what it got, as JSON.

    python hostile_account.py FOLDER PORT[,PORT...] TOKEN SOCKET[,SOCKET...]

Under FOLDER it reads whatever it can; at the ports and sockets it asks for what belongs to whoever runs the study.
"""

import hashlib
import io
import json
import os
import socket
import ssl
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

MARK = "the planted bundle ran"
CONTROL = ("list-runs", "list-nodes", "register-node", "unregister-node", "start-run", "stop-run", "stream-logs")
RUNTIME = ("acquire-task", "pull-task-input", "push-messages", "pull-messages", "push-task-output", "get-nodes")
FLEET = ("pull-messages", "push-messages", "get-run")
WANTED = (
    *(f"/v1/control/{call}" for call in CONTROL),
    *(f"/v1/runtime/{call}" for call in RUNTIME),
    *(f"/v1/fleet/{call}" for call in FLEET),
    "/docs",
    "/openapi.json",
)


def foreign_bundle() -> bytes:
    """A bundle that names an app of its own and brings it along."""
    files = {
        "pyproject.toml": '[project]\nname = "planted"\nversion = "1.0.0"\nlicense = {file = "LICENSE"}\n'
        'dependencies = ["flwr>=1.41,<2.0"]\n[tool.flwr.app]\npublisher = "nobody"\nfab-format-version = 1\n'
        'flwr-version-target = "1.41.0"\n[tool.flwr.app.components]\nserverapp = "planted:app"\n'
        'clientapp = "planted:app"\n',
        "planted.py": f"import os\nos.write(2, {MARK.encode()!r})\n",
        "LICENSE": "none",
        "README.md": "none",
    }
    listed = [f"{name},{hashlib.sha256(text.encode()).hexdigest()},{8 * len(text)}" for name, text in files.items()]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in {**files, ".info/CONTENT": "\n".join(listed)}.items():
            archive.writestr(name, text)
    return packed.getvalue()


def ask_ports(ports: list[int], token: str) -> Mapping[str, int]:
    """Path and port -> HTTP status, 0 without an answer; TLS and plain, nobody's certificate is looked at."""
    context = ssl._create_unverified_context()
    found = {}
    for port in ports:
        for path in WANTED:
            for scheme in ("https", "http"):
                headers = {"flwr-task-token": token, "content-type": "application/protobuf"}
                request = urllib.request.Request(f"{scheme}://127.0.0.1:{port}{path}", data=b"", headers=headers)
                try:
                    with urllib.request.urlopen(request, context=context, timeout=10) as got:
                        found[f"{scheme} {port} {path}"] = got.status
                except urllib.error.HTTPError as error:
                    with error:
                        found[f"{scheme} {port} {path}"] = error.code
                except (OSError, HTTPException):
                    found[f"{scheme} {port} {path}"] = 0
    return found


def connect(path: str) -> int:
    """The error number of an attempt to connect to a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        return caller.connect_ex(path)


def readable(folder: Path) -> list[str]:
    """Every file below a folder that can be opened, and every folder that can be listed."""
    paths = [folder, *folder.rglob("*")] if os.access(folder, os.R_OK) else []
    return [str(path) for path in paths if os.access(path, os.R_OK)]


def main(folder: str, ports: str, token: str, sockets: str) -> None:
    """Try everything and say how far it went."""
    numbers = [int(port) for port in ports.split(",") if port]
    found = {
        "account": os.geteuid(),
        "readable": readable(Path(folder)),
        "connected": {path: connect(path) for path in sockets.split(",")},
        "answered": {what: status for what, status in ask_ports(numbers, token).items() if status},
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
