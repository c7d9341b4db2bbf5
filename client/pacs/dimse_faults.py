"""Why no association came about: what the PACS said, or what a connection without DICOM tells."""

import socket
import ssl
from collections.abc import Mapping

from pydicom.uid import UID
from pynetdicom.association import Association

from client.pacs.contract import PacsSilentError
from client.pacs.http_faults import tls_words
from client.pacs.settings import DimseServer
from protocol.errors import PacsError

ASK = "ask the PACS' administrator"
TRANSIENT = 2
OUR_TITLE_UNKNOWN, PACS_TITLE_UNKNOWN = (1, 3), (1, 7)


def open_tls(server: DimseServer) -> ssl.SSLContext:
    """TLS that checks the PACS' certificate and name, and shows ours where the server file names one.

    Raises:
        PacsError: one of the files is no certificate or key.
    """
    try:
        context = ssl.create_default_context(cafile=server.authority)
        if server.certificate is not None:
            context.load_cert_chain(server.certificate, server.key)
    except (OSError, ssl.SSLError) as error:
        raise PacsError(
            f"the certificate files of the server file cannot be used ({error.strerror or error}); expected PEM files "
            "of an authority, and of a certificate with its key"
        ) from None
    return context


def explain_failure(server: DimseServer, association: Association, needed: str, place: str) -> PacsError:
    """The error to raise for an association that is not there, or that lacks the SOP class that is needed."""
    if association.is_rejected:
        return _rejection(server, association, place)
    if association.rejected_contexts or association.accepted_contexts:
        return PacsError(f"{place}: it does not offer '{server.our_title}' {UID(needed).name}; {ASK} to allow it")
    try:
        reach(server, place)
    except PacsError as error:
        return error
    tls = "without TLS" if server.tls else "with TLS"
    return PacsSilentError(
        f"{place}: it takes connections but broke off, or answered no DICOM within {server.timeout_s:g} s; check the "
        f"port, and whether it speaks DICOM {tls}"
    )


def _rejection(server: DimseServer, association: Association, place: str) -> PacsError:
    answer = association.acceptor.primitive
    if answer is None:
        return PacsError(f"{place}: refused the association without a reason; {ASK} what its log says")
    said, source = f"{answer.result_str}, {answer.reason_str}", (answer.result_source, answer.diagnostic)
    words: Mapping[tuple[int | None, int | None], str] = {
        OUR_TITLE_UNKNOWN: f"it does not know our AE title '{server.our_title}'; {ASK} to add it with this machine's "
        "address, or correct our_title in the server file",
        PACS_TITLE_UNKNOWN: f"it does not call itself '{server.title}'; correct title in the server file",
    }
    if source in words:
        return PacsError(f"{place}: refused the association: {words[source]}")
    if answer.result == TRANSIENT:
        return PacsSilentError(f"{place}: refused the association for now ({said}); try later")
    return PacsError(f"{place}: refused the association ({said}); {ASK} what its log says")


def reach(server: DimseServer, place: str) -> None:
    """Connect without DICOM, since the library says of a connection only that it failed.

    Raises:
        PacsError: the host is not known, nobody listens, or no TLS could be agreed.
    """
    try:
        with socket.create_connection((server.host, server.port), timeout=server.timeout_s) as plain:
            if server.tls:
                open_tls(server).wrap_socket(plain, server_hostname=server.host).close()
    except socket.gaierror:
        raise PacsError(
            f"{place}: the name of the host is not known; correct it in the server file, or ask for its IP"
        ) from None
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        raise PacsSilentError(f"{place}: it broke off while TLS was agreed; {ASK} whether it is up") from None
    except ssl.SSLError as error:
        raise PacsError(f"{place}: {tls_words(str(error))}") from None
    except OSError as error:
        raise PacsSilentError(f"{place}: no connection ({error.strerror or error}); {ASK} whether it is up") from None
