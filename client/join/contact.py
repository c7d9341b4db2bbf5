"""One attempt to reach the coordinator, taken apart: what was found at each step, for `client.join.preflight` to judge.

Name, connection, the proxy that the environment names, what speaks there, its certificate (shown to anybody), its
clock, and whether TLS verifies with the kit's authority. Flower's client follows the same proxy variables.
"""

import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpx
from cryptography import x509

from protocol.enrolment.endpoint import host_and_port

TIMEOUT_S = 10.0
LINE_LENGTH = 80


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
    server_time: datetime | None = None
    ahead_s: float = 0.0

    @property
    def target(self) -> str:
        """What a firewall has to let through, for messages."""
        return f"{self.host}:{self.port}"

    @property
    def first_hop(self) -> str:
        """Where the connection goes: the proxy or the coordinator."""
        return self.proxy or self.target


def make_contact(endpoint: str, authority_pem: bytes, timeout_s: float = TIMEOUT_S) -> Contact:
    """Try to reach the coordinator at `endpoint` ("host:port"); every failure becomes part of the result.

    A certificate that does not verify is looked at a second time, believed or not: a diagnosis, nothing is sent but a
    GET.
    """
    host, port = host_and_port(endpoint)
    proxy = proxy_to(host)
    contact = _resolve(Contact(host, port, proxy=f"{proxy.host}:{_port_of(proxy)}" if proxy else ""), proxy)
    if contact.resolution_error:
        return contact
    if proxy and proxy.scheme != "http":
        return replace(contact, tunnel_error=f"its kind '{proxy.scheme}' is not supported, expected http://HOST:PORT")
    found = _ask(contact, proxy, authority_pem, timeout_s)
    if not found.tls_error or found.presented:
        return found
    shown = _ask(contact, proxy, None, timeout_s)
    if shown.presented is None:
        return replace(shown, plain=_speak_plainly(contact, proxy, timeout_s))
    return replace(shown, tls_error=found.tls_error, verify_code=found.verify_code)


def proxy_to(host: str) -> httpx.URL | None:
    """The proxy that the environment names for HTTPS to `host`; None where it names none or exempts the host."""
    named = getproxies()
    address = named.get("https") or named.get("all")
    if not address or proxy_bypass(host):
        return None
    return httpx.URL(address if "://" in address else f"http://{address}")


def _port_of(proxy: httpx.URL) -> int:
    return proxy.port or (443 if proxy.scheme == "https" else 80)


def _resolve(contact: Contact, proxy: httpx.URL | None) -> Contact:
    where = (proxy.host, _port_of(proxy)) if proxy else (contact.host, contact.port)
    try:
        found = socket.getaddrinfo(*where, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return replace(contact, resolution_error=getattr(error, "strerror", None) or str(error))
    return replace(contact, addresses=tuple(dict.fromkeys(str(entry[4][0]) for entry in found)))


class _Trace:
    """How far a request came, as httpx tells: whether TLS began, the certificate shown, when the question left."""

    def __init__(self) -> None:
        self.has_greeted = False
        self.presented: x509.Certificate | None = None
        self.asked_at = datetime.now(UTC)

    def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        step = event.partition(".")[2]
        if step == "start_tls.started":
            self.has_greeted = True
        elif step == "start_tls.complete":
            shown = info["return_value"].get_extra_info("socket").getpeercert(binary_form=True)
            with suppress(ValueError):
                self.presented = x509.load_der_x509_certificate(shown)
        elif step == "send_request_headers.started":
            self.asked_at = datetime.now(UTC)


def _ask(contact: Contact, proxy: httpx.URL | None, authority_pem: bytes | None, timeout_s: float) -> Contact:
    """A GET over TLS as Flower does it, with the kit's authority and no other; without one, anybody is believed."""
    trace = _Trace()
    try:
        with (
            httpx.Client(proxy=proxy, verify=_trust(authority_pem), timeout=timeout_s, trust_env=False) as client,
            client.stream("GET", _url(contact, "https"), extensions={"trace": trace}) as response,
        ):
            return _read_clock(replace(contact, presented=trace.presented), response, trace.asked_at)
    except (httpx.HTTPError, OSError, ValueError) as error:
        return _explain(replace(contact, presented=trace.presented), error, has_greeted=trace.has_greeted)


def _trust(authority_pem: bytes | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if authority_pem is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=authority_pem.decode("ascii"))
    return context


def _url(contact: Contact, scheme: str) -> httpx.URL:
    return httpx.URL(scheme=scheme, host=contact.host, port=contact.port, path="/")


def _read_clock(contact: Contact, response: httpx.Response, asked_at: datetime) -> Contact:
    """The server's clock, halfway between question and answer; its Date is cut to whole seconds, half a one early."""
    local = asked_at + (datetime.now(UTC) - asked_at) / 2
    try:
        told = parsedate_to_datetime(response.headers["date"]).astimezone(UTC)
    except (KeyError, ValueError, TypeError):
        return contact
    return replace(contact, server_time=told, ahead_s=(local - told - timedelta(seconds=0.5)).total_seconds())


def _explain(contact: Contact, error: Exception, *, has_greeted: bool) -> Contact:
    """At which step a request failed: the connection, the way through the proxy, or TLS and what comes after."""
    cause = _root_of(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return replace(contact, tls_error=cause.verify_message, verify_code=cause.verify_code)
    if has_greeted or not isinstance(error, httpx.HTTPError):
        return replace(contact, tls_error=_words(cause))
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return replace(contact, connect_error=_words(cause))
    refused = isinstance(error, httpx.ProxyError)
    return replace(contact, tunnel_error=f"it answered '{error}'" if refused else _words(cause))


def _root_of(error: BaseException) -> BaseException:
    cause = error.__cause__ or error.__context__
    return _root_of(cause) if cause is not None else error


def _speak_plainly(contact: Contact, proxy: httpx.URL | None, timeout_s: float) -> str:
    """The first line that answers a request without TLS; empty where none does."""
    try:
        with (
            httpx.Client(proxy=proxy, timeout=timeout_s, trust_env=False) as client,
            client.stream("GET", _url(contact, "http")) as answer,
        ):
            return f"{answer.http_version} {answer.status_code} {answer.reason_phrase}"[:LINE_LENGTH]
    except httpx.HTTPError:
        return ""


def _words(error: BaseException) -> str:
    """An error in words for a message."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS failed"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
