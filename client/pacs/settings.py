"""The server file: where a PACS is, how it is spoken to, and with which credentials; for the engineer's eyes alone.

    [pacs]
    kind = "dicomweb"
    url = "https://pacs.hospital.example/dicom-web"
    username = "concilium"
    password = "..."

Credentials stand in this file only: never in arguments, messages, logs or results.
"""

import ipaddress
import re
import stat
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from protocol.errors import PacsError
from protocol.messages.settings import findings
from protocol.storage.parsed_text import UnreadableTextError, read_toml

OPEN_TO_OTHERS = 0o077
EXPECTED = (
    'expected one table [pacs]: kind = "dicomweb" with url, or kind = "dimse" with host, port, title and our_title; '
    "docs/pacs.md has the other keys of each kind; correct the file and run it again"
)
TITLE = re.compile(r"[ -\[\]-~]{1,16}")


def _check_title(title: str) -> str:
    if not TITLE.fullmatch(title) or title != title.strip() or not title:
        raise ValueError("is no AE title: 1 to 16 ASCII characters without backslash, no blank at the ends")
    return title


Title = Annotated[str, AfterValidator(_check_title)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class _Server(BaseModel):
    """What both ways need: how long to wait, whom to trust, and a client certificate where the PACS asks for one."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)

    timeout_s: Seconds = 60.0
    authority: Annotated[Path | None, Field(strict=False)] = None
    certificate: Annotated[Path | None, Field(strict=False)] = None
    key: Annotated[Path | None, Field(strict=False)] = None

    @model_validator(mode="after")
    def _has_certificate_and_key(self) -> "_Server":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key belong together: name both files, or none")
        return self


class DicomwebServer(_Server):
    """A PACS with DICOMweb (QIDO-RS, WADO-RS, STOW-RS); `url` is the root that "/studies" follows."""

    kind: Literal["dicomweb"]
    url: str
    username: str = ""
    password: SecretStr = SecretStr("")
    token: SecretStr = SecretStr("")
    unencrypted: bool = False

    @model_validator(mode="after")
    def _has_a_sound_url(self) -> "DicomwebServer":
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("url is not as expected: https://HOST[:PORT]/PATH, such as https://pacs.example/dicom-web")
        if parts.username or parts.password:
            raise ValueError("url holds credentials: write username and password as keys of their own")
        return self

    @model_validator(mode="after")
    def _has_one_way_to_sign_in(self) -> "DicomwebServer":
        token, password = self.token.get_secret_value(), self.password.get_secret_value()
        if bool(self.username) != bool(password):
            raise ValueError("username and password belong together: name both, or none")
        if token and password:
            raise ValueError("token and password exclude each other: keep the one that the PACS asks for")
        if (token or password) and not self._keeps_secrets:
            raise ValueError(
                "credentials would cross the network in clear: use https, or write `unencrypted = true` where the "
                "network itself is trusted"
            )
        return self

    @property
    def _keeps_secrets(self) -> bool:
        parts = urlsplit(self.url)
        return parts.scheme == "https" or self.unencrypted or _is_loopback(parts.hostname or "")


class DimseServer(_Server):
    """A PACS with the DICOM protocol (C-FIND, C-GET, C-STORE): host, port and both AE titles."""

    kind: Literal["dimse"]
    host: Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\s/]+$")]
    port: Annotated[int, Field(ge=1, le=65535)]
    title: Title
    our_title: Title
    tls: bool = False

    @model_validator(mode="after")
    def _uses_certificates(self) -> "DimseServer":
        if not self.tls and (self.authority or self.certificate):
            raise ValueError("authority and certificate are for TLS: write `tls = true`, or leave them out")
        return self


Server = DicomwebServer | DimseServer


class _ServerFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    pacs: Annotated[Server, Field(discriminator="kind")]


def read_server(path: Path) -> Server:
    """The server that a file describes; files that it names are meant relative to it.

    Raises:
        PacsError: no such file, others may read it, or a value that is not as expected; all findings at once.
    """
    try:
        if mode := stat.S_IMODE(path.stat().st_mode) & OPEN_TO_OTHERS:
            raise PacsError(
                f"server file {path}: others than its owner may use it (mode bits {mode:03o}), expected 0600 since it "
                f"holds credentials; `chmod 600 {path}`, and change the password if others had access"
            )
        found = _ServerFile.model_validate(read_toml(path)).pacs
    except OSError as error:
        raise PacsError(
            f"server file {path} cannot be read ({error.strerror}); give a file with a [pacs] table"
        ) from error
    except UnreadableTextError:
        # Not from the parser's error: it may quote the line, and a traceback would show it.
        raise PacsError(f"server file {path} is not valid TOML; put text between quotes, one key a line") from None
    except ValidationError as error:
        problems = "\n  ".join(findings(error, "pacs"))
        raise PacsError(f"server file {path} has {error.error_count()} problem(s):\n  {problems}\n{EXPECTED}") from None
    return _beside(path, found)


def _beside(path: Path, server: Server) -> Server:
    """The server with its files relative to the folder of `path`.

    Raises:
        PacsError: one of the files is not there.
    """
    named = {name: getattr(server, name) for name in ("authority", "certificate", "key")}
    files = {name: path.absolute().parent / file for name, file in named.items() if file is not None}
    missing = [f"{name} {file}" for name, file in files.items() if not file.is_file()]
    if missing:
        raise PacsError(f"server file {path} names {', '.join(missing)}: no such file; correct the path")
    return server.model_copy(update=files)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
