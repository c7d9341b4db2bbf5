"""A real PACS for tests: Debian's Orthanc with its DICOMweb plugin on loopback, its files in a folder of the test.

HTTPS is spoken by an nginx in front of it, as in hospitals: Orthanc 1.10 of Debian 12 crashes at the first request of
its own.
"""

import json
import shutil
import socket
import subprocess
import urllib.request
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.support.loopback import free_port, wait_until, write_certificates
from tests.support.mlflow_server import missing

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
PACS_TITLE, OUR_TITLE = "HOSPITALPACS", "CONCILIUM"
USER, PASSWORD = "engineer", "a-password-of-the-tests"


class Orthanc:
    """One server: DICOM for the AE title OUR_TITLE alone, DICOMweb for USER with PASSWORD.

    Args:
        folder: for its database, configuration and log.
        tls: whether both ways are encrypted; the authority is `folder / "ca.crt"`, names are localhost and 127.0.0.1.
    """

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        program, front = (shutil.which(name, path="/usr/sbin:/usr/bin") for name in ("Orthanc", "nginx"))
        if program is None or front is None or not PLUGIN.exists():
            missing("Orthanc or nginx", "apt-get install orthanc orthanc-dicomweb nginx-light (nothing needs to run)")
        self.folder, self.tls = folder, tls
        self.dicom_port, self.http_port = free_port(), free_port()
        self.https_port = free_port() if tls else None
        self.base = f"http://localhost:{self.http_port}"
        self.dicomweb = f"https://localhost:{self.https_port}/dicom-web" if tls else f"{self.base}/dicom-web"
        self._program, self._front = str(program), str(front)
        self._running: list[subprocess.Popen[bytes]] = []

    @property
    def authority(self) -> Path | None:
        """The certificate authority to trust, None without TLS."""
        return self.folder / "ca.crt" if self.tls else None

    def start(self) -> None:
        """Start the server, ready when this returns."""
        (self.folder / "orthanc.json").write_text(json.dumps(self._configuration(), indent=1))
        self._run("orthanc", self._program, self.folder / "orthanc.json")
        wait_until(self._is_up, "Orthanc", within_s=60)
        if self.https_port is not None:
            (self.folder / "nginx.conf").write_text(self._front_configuration())
            self._run("nginx", self._front, "-p", self.folder, "-c", self.folder / "nginx.conf")
            port = self.https_port
            wait_until(lambda: _listens(port), "nginx", within_s=60)

    def stop(self) -> None:
        """End the server at once: nothing of it is kept, and its own way takes seconds."""
        for process in self._running:
            process.kill()
            process.wait(20)
        self._running.clear()

    def upload(self, paths: Iterable[Path]) -> None:
        """Put files into it by its own interface, so that no code under test takes part."""
        for path in paths:
            self.rest("/instances", path.read_bytes())

    def rest(self, path: str, data: bytes | None = None, method: str | None = None) -> Any:
        """What its own interface answers (JSON), asked as USER."""
        request = urllib.request.Request(f"{self.base}{path}", data=data, method=method)
        request.add_header("Authorization", f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}")
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            return json.loads(answer.read() or "null")

    def clear(self) -> None:
        """Delete every patient."""
        for patient in self.rest("/patients"):
            self.rest(f"/patients/{patient}", method="DELETE")

    def log(self) -> str:
        """What it printed."""
        return (self.folder / "orthanc.log").read_text(errors="replace")

    def _run(self, name: str, *command: str | Path) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [str(part) for part in command], cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
            )
        self._running.append(process)

    def _is_up(self) -> bool:
        assert self._running[0].poll() is None, self.log()
        with suppress(OSError):
            return bool(self.rest("/system"))
        return False

    def _configuration(self) -> dict[str, Any]:
        folder = self.folder
        settings: dict[str, Any] = {
            "Name": "test",
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "Plugins": [str(PLUGIN)],
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "DicomAet": PACS_TITLE,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowEcho": False,
            "DicomAlwaysAllowStore": False,
            "DicomModalities": {"ours": [OUR_TITLE, "127.0.0.1", 104]},
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {USER: PASSWORD},
            "OverwriteInstances": True,
            "SaveJobs": False,
            "HttpThreadsCount": 8,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "Ssl": self.tls},
        }
        return {**settings, **(self._tls_settings() if self.tls else {})}

    def _tls_settings(self) -> dict[str, Any]:
        folder = self.folder
        write_certificates(folder)
        return {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(folder / "server.pem"),
            "DicomTlsPrivateKey": str(folder / "server.key"),
            "DicomTlsTrustedCertificates": str(folder / "ca.crt"),
            "DicomTlsRemoteCertificateRequired": False,
        }

    def _front_configuration(self) -> str:
        return f"""daemon off; master_process off; pid nginx.pid; error_log stderr;
events {{ }}
http {{
  access_log off; client_max_body_size 0; proxy_request_buffering off; proxy_buffering off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  server {{
    listen 127.0.0.1:{self.https_port} ssl; listen 127.0.0.2:{self.https_port} ssl;
    ssl_certificate server.pem; ssl_certificate_key server.key;
    location / {{ proxy_pass http://127.0.0.1:{self.http_port}; }}
  }}
}}
"""


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextmanager
def orthanc(folder: Path, *, tls: bool = False) -> Iterator[Orthanc]:
    """A server for the length of a block."""
    server = Orthanc(folder, tls=tls)
    try:
        server.start()
        yield server
    finally:
        server.stop()
