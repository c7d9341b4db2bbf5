"""The certificate authority and the server's certificate, as OpenSSL in strict mode sees them."""

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from protocol.errors import EnrolmentError
from server.tls.authority import (
    encrypt_authority,
    is_open_key,
    names_in,
    open_authority,
    provide_authority,
    provide_server_certificate,
    read_certificate,
)

NOW = datetime.now(UTC)


@dataclass(frozen=True)
class Files:
    authority: Path
    key: Path
    certificate: Path


def made(folder: Path, host: str = "fed.example.org", now: datetime = NOW) -> Files:
    files = Files(folder / "authority", folder / "server" / "server.key", folder / "server" / "server.crt")
    authority = provide_authority(files.authority, "North", now=now)
    provide_server_certificate(authority, host, key_file=files.key, certificate_file=files.certificate, now=now)
    return files


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return made(tmp_path)


@pytest.fixture
def listener(files: Files) -> Iterator[int]:
    """A TLS server with the issued certificate; gives its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_answer, args=(server, context))
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def _answer(server: socket.socket, context: ssl.SSLContext) -> None:
    with suppress(OSError):
        while True:
            connection, _ = server.accept()
            with connection, suppress(ssl.SSLError, OSError), context.wrap_socket(connection, server_side=True) as tls:
                tls.sendall(b"hello")


def greeting(port: int, authority: Path, name: str) -> bytes:
    context = ssl.create_default_context(cafile=str(authority / "ca.crt"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as tls,
    ):
        return tls.recv(5)


@pytest.mark.network
@pytest.mark.parametrize("name", ["fed.example.org", "localhost", "127.0.0.1"])
def test_a_strict_client_that_trusts_the_authority_connects(listener: int, files: Files, name: str) -> None:
    assert greeting(listener, files.authority, name) == b"hello"


@pytest.mark.network
def test_a_client_of_another_consortium_does_not_connect(listener: int, tmp_path: Path) -> None:
    other = made(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        greeting(listener, other.authority, "fed.example.org")


@pytest.mark.network
def test_a_client_that_expects_another_name_does_not_connect(listener: int, files: Files) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for 'elsewhere.example.org'"):
        greeting(listener, files.authority, "elsewhere.example.org")


def test_keys_can_be_read_by_their_owner_alone(files: Files) -> None:
    modes = [path.stat().st_mode & 0o777 for path in (files.authority, files.authority / "ca.key", files.key)]
    assert modes == [0o700, 0o600, 0o600]


def test_an_address_is_named_as_an_address(tmp_path: Path) -> None:
    certificate = read_certificate(made(tmp_path, host="10.1.2.3").certificate)
    assert names_in(certificate) == ("10.1.2.3", "localhost", "127.0.0.1")


def test_a_local_endpoint_is_named_once(tmp_path: Path) -> None:
    assert names_in(read_certificate(made(tmp_path, host="localhost").certificate)) == ("localhost", "127.0.0.1")


def test_the_authority_lasts_ten_years_and_the_server_397_days(files: Files) -> None:
    ends = [read_certificate(path).not_valid_after_utc for path in (files.authority / "ca.crt", files.certificate)]
    assert [(end - NOW + timedelta(seconds=1)).days for end in ends] == [3652, 397]


def test_a_server_certificate_never_outlives_its_authority(files: Files) -> None:
    late = NOW + timedelta(days=3600)
    provide_server_certificate(
        open_authority(files.authority), "a", key_file=files.key, certificate_file=files.certificate, now=late
    )
    ends = [read_certificate(path).not_valid_after_utc for path in (files.authority / "ca.crt", files.certificate)]
    assert ends[0] == ends[1]


def test_providing_an_authority_again_leaves_every_byte(files: Files) -> None:
    before = {path.name: path.read_bytes() for path in files.authority.iterdir()}
    provide_authority(files.authority, "Another name", now=NOW + timedelta(days=1))
    assert {path.name: path.read_bytes() for path in files.authority.iterdir()} == before


def test_a_renewed_certificate_keeps_the_servers_key(files: Files) -> None:
    key, certificate = files.key.read_bytes(), files.certificate.read_bytes()
    provide_server_certificate(
        open_authority(files.authority), "b", key_file=files.key, certificate_file=files.certificate, now=NOW
    )
    assert files.key.read_bytes() == key
    assert files.certificate.read_bytes() != certificate


def test_a_key_of_another_authority_is_refused(files: Files, tmp_path: Path) -> None:
    other = made(tmp_path / "other")
    (files.authority / "ca.key").write_bytes((other.authority / "ca.key").read_bytes())
    with pytest.raises(EnrolmentError, match="is not the key of"):
        open_authority(files.authority)


@pytest.mark.parametrize("name", ["ca.key", "ca.crt"])
def test_half_an_authority_is_never_made_anew(files: Files, name: str) -> None:
    (files.authority / name).unlink()
    with pytest.raises(EnrolmentError, match=rf"{name} cannot be read .*restore it from a backup"):
        provide_authority(files.authority, "North", now=NOW)


def test_a_key_with_a_passphrase_signs_for_who_knows_it_alone(files: Files) -> None:
    public = open_authority(files.authority).key.public_key()
    encrypt_authority(files.authority, b"correct horse")
    key = files.authority / "ca.key"
    assert (key.stat().st_mode & 0o777, is_open_key(key)) == (0o600, False)
    with pytest.raises(EnrolmentError, match="has a passphrase, and nobody was asked for it"):
        open_authority(files.authority)
    with pytest.raises(EnrolmentError, match="or another passphrase"):
        open_authority(files.authority, lambda _path: b"battery staple")
    assert open_authority(files.authority, lambda _path: b"correct horse").key.public_key() == public


def test_a_passphrase_is_given_once(files: Files) -> None:
    encrypt_authority(files.authority, b"p")
    with pytest.raises(EnrolmentError, match="has a passphrase"):
        encrypt_authority(files.authority, b"q")


def test_a_certificate_is_readable_whatever_the_mask_was(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        found = made(tmp_path)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (found.certificate, found.authority / "ca.crt")} == {0o644}
    assert found.key.stat().st_mode & 0o777 == 0o600
