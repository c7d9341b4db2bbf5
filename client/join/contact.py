"""One attempt to reach the coordinator, taken apart: what was found at each step, for `client.join.preflight` to judge.

Name, connection, the proxy that the environment names, what speaks there, its certificate (shown to anybody), its
clock, and last whether TLS verifies with the kit's authority. Flower's client follows the same proxy variables.
"""

import base64
import socket
import ssl
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from cryptography import x509

from protocol.enrolment.kit import host_and_port

TIMEOUT_S = 10.0
HEAD_BYTES = 16384


@dataclass(frozen=True)
class Contact:
    """What was found on the way to `host:port`; a step that was not reached has its empty value.

    proxy: "host:port" of the proxy in between, empty for none. plain: the first line of what answered in HTTP without
    TLS. presented: the certificate that was shown. verify_code: OpenSSL's number of what is wrong with it.
    server_time: the Date that was told; ahead_s: seconds by which this machine's clock is ahead of it.
    """

    host: str
    port: int
    proxy: str = ""
    addresses: tuple[str, ...] = ()
    resolution_error: str = ""
    connect_error: str = ""
    tunnel_error: str = ""
    plain: str = ""
    presented: x509.Certificate | None = None
    tls_error: str = ""
    verify_code: int = 0
    status: int = 0
    server_time: datetime | None = None
    ahead_s: float = 0.0

    @property
    def target(self) -> str:
        """What a firewall has to let through, for messages."""
        return f"{self.host}:{self.port}"

    @property
    def dialled(self) -> str:
        """Where the connection goes: the proxy or the coordinator."""
        return self.proxy or self.target


def make_contact(endpoint: str, authority_pem: bytes, timeout_s: float = TIMEOUT_S) -> Contact:
    """Try to reach the coordinator at `endpoint` ("host:port"); every failure becomes part of the result."""
    host, port = host_and_port(endpoint)
    proxy = proxy_to(host)
    contact = Contact(host, port, proxy=f"{proxy.hostname}:{_port_of(proxy)}" if proxy else "")
    contact = _resolved(contact, (proxy.hostname or "", _port_of(proxy)) if proxy else (host, port))
    if contact.resolution_error:
        return contact
    try:
        connection = _connected(contact, proxy, timeout_s)
    except _TunnelError as error:
        return replace(contact, tunnel_error=str(error))
    except OSError as error:
        return replace(contact, connect_error=_words(error))
    contact = _looked_at(contact, connection)
    if contact.presented is None:
        return replace(contact, plain=_spoken_plainly(contact, proxy, timeout_s))
    return _verified(contact, proxy, authority_pem, timeout_s)


def proxy_to(host: str) -> SplitResult | None:
    """The proxy that the environment names for HTTPS to `host`; None where it names none or exempts the host."""
    named = getproxies()
    address = named.get("https") or named.get("all")
    if not address or proxy_bypass(host):
        return None
    return urlsplit(address if "://" in address else f"http://{address}")


class _TunnelError(Exception):
    """The proxy did not open a way to the coordinator."""


def _port_of(proxy: SplitResult) -> int:
    return proxy.port or (443 if proxy.scheme == "https" else 80)


def _resolved(contact: Contact, where: tuple[str, int]) -> Contact:
    try:
        found = socket.getaddrinfo(*where, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return replace(contact, resolution_error=getattr(error, "strerror", None) or str(error))
    return replace(contact, addresses=tuple(dict.fromkeys(str(entry[4][0]) for entry in found)))


def _connected(contact: Contact, proxy: SplitResult | None, timeout_s: float) -> socket.socket:
    """A TCP connection to the coordinator, through the proxy where there is one."""
    if proxy is None:
        return socket.create_connection((contact.host, contact.port), timeout_s)
    if proxy.scheme != "http":
        raise _TunnelError(f"its kind '{proxy.scheme}' is not supported, expected http://HOST:PORT")
    connection = socket.create_connection((proxy.hostname or "", _port_of(proxy)), timeout_s)
    try:
        target = f"[{contact.host}]:{contact.port}" if ":" in contact.host else contact.target
        head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{_credentials(proxy)}\r\n"
        connection.sendall(head.encode())
        line = _head(connection).split("\r\n", 1)[0]
    except OSError as error:
        connection.close()
        raise _TunnelError(_words(error)) from error
    if line.split(" ")[1:2] != ["200"]:
        connection.close()
        raise _TunnelError(f"it answered '{line[:80]}'" if line else "it closed the connection")
    return connection


def _credentials(proxy: SplitResult) -> str:
    if proxy.username is None:
        return ""
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}\r\n"


def _looked_at(contact: Contact, connection: socket.socket) -> Contact:
    """The certificate and the clock of whoever answers, believed or not: a diagnosis, nothing is sent but a GET."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with connection, context.wrap_socket(connection, server_hostname=contact.host) as secure:
            shown = secure.getpeercert(binary_form=True)
            presented = x509.load_der_x509_certificate(shown) if shown else None
            contact = replace(contact, presented=presented)
            secure.sendall(f"GET / HTTP/1.1\r\nHost: {contact.target}\r\nConnection: close\r\n\r\n".encode())
            sent_at = datetime.now(UTC)
            head = _head(secure)
    except (OSError, ValueError) as error:
        return replace(contact, tls_error=_words(error))
    return _timed(contact, head, sent_at)


def _timed(contact: Contact, head: str, sent_at: datetime) -> Contact:
    """The server's clock, halfway between question and answer; its Date is cut to whole seconds, half a one early."""
    local = sent_at + (datetime.now(UTC) - sent_at) / 2
    lines = head.split("\r\n")
    words = lines[0].split(" ")
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    dates = [line.partition(":")[2].strip() for line in lines[1:] if line.lower().startswith("date:")]
    try:
        told = parsedate_to_datetime(dates[0]).astimezone(UTC)
    except (IndexError, ValueError, TypeError):
        return replace(contact, status=status)
    ahead = (local - told - timedelta(seconds=0.5)).total_seconds()
    return replace(contact, status=status, server_time=told, ahead_s=ahead)


def _spoken_plainly(contact: Contact, proxy: SplitResult | None, timeout_s: float) -> str:
    """The first line that answers a request without TLS; empty where none does."""
    try:
        with _connected(contact, proxy, timeout_s) as connection:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {contact.target}\r\nConnection: close\r\n\r\n".encode())
            line = _head(connection).split("\r\n", 1)[0]
    except (OSError, _TunnelError):
        return ""
    return line[:80] if line.startswith("HTTP/") else ""


def _verified(contact: Contact, proxy: SplitResult | None, authority_pem: bytes, timeout_s: float) -> Contact:
    """TLS as Flower does it: the kit's authority and no other, and the endpoint's name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=authority_pem.decode("ascii"))
        connection = _connected(contact, proxy, timeout_s)
        with connection, context.wrap_socket(connection, server_hostname=contact.host):
            return contact
    except ssl.SSLCertVerificationError as error:
        return replace(contact, tls_error=error.verify_message, verify_code=error.verify_code)
    except (OSError, ValueError, _TunnelError) as error:
        return replace(contact, tls_error=_words(error))


def _head(connection: socket.socket) -> str:
    """What arrives up to the empty line that ends an HTTP head."""
    found = b""
    while b"\r\n\r\n" not in found and len(found) < HEAD_BYTES:
        more = connection.recv(4096)
        if not more:
            break
        found += more
    return found.decode("latin-1")


def _words(error: Exception) -> str:
    """An error in words for a message."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS failed"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
