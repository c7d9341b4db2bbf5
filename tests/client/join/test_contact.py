"""What one attempt to reach the coordinator finds at each step, on servers and proxies of loopback."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from client.join.contact import make_contact, proxy_to
from tests.support.coordinator_stand_in import Certified, server, tunnel
from tests.support.loopback import free_port

pytestmark = pytest.mark.network


@contextmanager
def listener(heard: list[bytes], *, closes: bool) -> Iterator[int]:
    """Takes connections and answers nothing: it hangs up after the first bytes, or stays silent. Gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        connections: list[socket.socket] = []

        def take() -> None:
            with suppress(OSError):
                while True:
                    near, _ = listening.accept()
                    heard.append(near.recv(4096))
                    if closes:
                        near.close()
                    connections.append(near)

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in connections:
            connection.close()


def test_a_coordinator_is_found_with_its_certificate_and_its_clock(certified: Certified) -> None:
    with server(certified.key, certified.certificate) as port:
        found = make_contact(f"localhost:{port}", certified.authority)
    assert found.presented is not None
    assert "CN=concilium server" in found.presented.subject.rfc4514_string()
    assert (found.tls_error, found.verify_code, found.connect_error, found.proxy) == ("", 0, "", "")
    assert abs(found.ahead_s) < 2


def test_an_unknown_authority_is_told_by_its_number_and_the_certificate_is_shown(
    certified: Certified, tmp_path: Path
) -> None:
    """19: a self-signed certificate in the chain; 20: the issuer is not known here."""
    other = Certified(tmp_path)
    with server(other.key, other.certificate) as port:
        found = make_contact(f"localhost:{port}", certified.authority)
    assert found.presented is not None
    assert found.verify_code in {19, 20}
    assert found.server_time is not None


@pytest.mark.parametrize("authority", [b"", b"no certificate"])
def test_an_authority_that_cannot_be_read_is_a_matter_of_tls(certified: Certified, authority: bytes) -> None:
    with server(certified.key, certified.certificate) as port:
        found = make_contact(f"localhost:{port}", authority)
    assert found.tls_error
    assert found.presented is not None


def test_what_answers_nothing_in_time_is_no_tls(certified: Certified) -> None:
    with listener([], closes=False) as port:
        found = make_contact(f"localhost:{port}", certified.authority, timeout_s=0.3)
    assert (found.presented, found.plain, found.tls_error) == (None, "", "no answer in time")


def test_a_proxy_that_refuses_connections_is_where_the_connection_ends(
    certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    found = make_contact("nowhere.invalid:443", certified.authority)
    assert (found.connect_error, found.first_hop) == ("refused", f"127.0.0.1:{port}")


def test_a_proxy_that_hangs_up_lets_nothing_through(certified: Certified, monkeypatch: pytest.MonkeyPatch) -> None:
    with listener([], closes=True) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        found = make_contact("nowhere.invalid:443", certified.authority)
    assert "disconnected" in found.tunnel_error
    assert (found.connect_error, found.tls_error) == ("", "")


def test_a_proxy_is_asked_for_the_coordinator_with_the_credentials_in_its_address(
    certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Base64 of "user:pass"."""
    heard: list[bytes] = []
    with listener(heard, closes=True) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass@127.0.0.1:{port}")
        make_contact("nowhere.invalid:443", certified.authority)
    assert heard[0].startswith(b"CONNECT nowhere.invalid:443 HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n" in heard[0]


def test_the_coordinator_is_seen_through_a_proxy_as_without_one(
    certified: Certified, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server(certified.key, certified.certificate) as port, tunnel() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy}")
        found = make_contact(f"localhost:{port}", certified.authority)
    assert found.presented is not None
    assert (found.proxy, found.tls_error, found.tunnel_error) == (f"127.0.0.1:{proxy}", "", "")


def test_a_proxy_of_another_kind_is_not_supported(certified: Certified, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"socks5://127.0.0.1:{free_port()}")
    found = make_contact("nowhere.invalid:443", certified.authority)
    assert found.tunnel_error == "its kind 'socks5' is not supported, expected http://HOST:PORT"


def test_a_proxy_may_be_named_without_its_kind_and_a_host_exempted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example.org:3128")
    monkeypatch.setenv("NO_PROXY", ".intranet.example.org")
    named = proxy_to("coordinator.example.org")
    assert named is not None
    assert (named.scheme, named.host, named.port) == ("http", "proxy.example.org", 3128)
    assert proxy_to("coordinator.intranet.example.org") is None
