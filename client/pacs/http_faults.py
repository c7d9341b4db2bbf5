"""What went wrong with a DICOMweb request, in words that name the PACS, the study, and what to do."""

import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus

import requests
from pydicom.errors import InvalidDicomError

from client.pacs.contract import PacsSilentError, StudyFailedError
from protocol.errors import PacsError

BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
CHECK_URL = "check url in the server file: the root that /studies follows, such as https://pacs.example/dicom-web"
ASK = "ask the PACS' administrator"

UNREADABLE = (ValueError, KeyError, AttributeError, TypeError, IndexError, EOFError, InvalidDicomError)
"""What the libraries raise over an answer that is not what it should be."""
EXPECTED: tuple[type[Exception], ...] = (requests.RequestException, *UNREADABLE)


def explain(error: Exception, place: str, *, timeout_s: float) -> PacsError:
    """The error to raise for one of EXPECTED. `place` is the PACS and what it was asked for."""
    for kind, words in FAULTS.items():
        if isinstance(error, kind):
            return words(error, place, timeout_s)
    return StudyFailedError(
        f"{place}: the answer cannot be read as DICOM ({type(error).__name__}: {error}); {ASK} to look at these objects"
    )


def _status(error: Exception, place: str, timeout_s: float) -> PacsError:
    del timeout_s
    response = getattr(error, "response", None)
    code = 0 if response is None else int(response.status_code)
    said = f"{place}: answered {code} {_phrase(code)}"
    if code in {401, 403}:
        return PacsError(f"{said}; check username and password, token or certificate in the server file")
    if code in BUSY:
        return PacsSilentError(f"{said}; {ASK} what its log says")
    if code in {404, 405, 410}:
        return StudyFailedError(f"{said}; if it says so of every study, {CHECK_URL}")
    return StudyFailedError(f"{said}; {ASK} what its log says")


def _tls(error: Exception, place: str, timeout_s: float) -> PacsError:
    del timeout_s
    return PacsError(f"{place}: {tls_words(str(error))}")


def tls_words(said: str) -> str:
    """What a failed handshake means, from what OpenSSL said."""
    if "ostname mismatch" in said or "not valid for" in said or "doesn't match" in said:
        return "its certificate is for another name; use the name that the certificate has, in the server file"
    if "certificate required" in said or "handshake failure" in said:
        return f"it asks for a client certificate that it trusts; name certificate and key in the server file, or {ASK}"
    if "expired" in said:
        return f"its certificate has expired; {ASK} for a new one"
    if "verify failed" in said:
        return "its certificate is not signed by an authority trusted here; name the hospital's CA file as authority"
    return f"no TLS could be agreed ({said[-120:]}); check address and port in the server file"


def _silence(error: Exception, place: str, timeout_s: float) -> PacsError:
    del error
    return PacsSilentError(
        f"{place}: no answer within {timeout_s:g} s; {ASK} whether it is up, or raise timeout_s in the server file"
    )


def _connection(error: Exception, place: str, timeout_s: float) -> PacsError:
    if "timed out" in str(error):
        return _silence(error, place, timeout_s)
    if _is_unknown_host(error):
        return PacsError(
            f"{place}: the name of the host is not known; correct it in the server file, or ask for its IP"
        )
    return PacsSilentError(f"{place}: the connection was refused or broke off; {ASK} whether it is up")


def _redirect(error: Exception, place: str, timeout_s: float) -> PacsError:
    del error, timeout_s
    return PacsError(f"{place}: it points to another address, which is not followed; {CHECK_URL}")


def _not_json(error: Exception, place: str, timeout_s: float) -> PacsError:
    del error, timeout_s
    return PacsError(f"{place}: the answer is no DICOM JSON; {CHECK_URL}")


FAULTS: Mapping[type[Exception], Callable[[Exception, str, float], PacsError]] = {
    requests.HTTPError: _status,
    requests.exceptions.SSLError: _tls,
    requests.Timeout: _silence,
    requests.TooManyRedirects: _redirect,
    requests.exceptions.InvalidJSONError: _not_json,
    requests.exceptions.ChunkedEncodingError: _connection,
    requests.ConnectionError: _connection,
    requests.RequestException: _connection,
}
"""Kind of fault -> its words; the first that fits."""


def _is_unknown_host(error: BaseException | None) -> bool:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, socket.gaierror) or "NameResolutionError" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _phrase(code: int) -> str:
    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "unknown status"
