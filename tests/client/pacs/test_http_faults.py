"""What each fault of a web request becomes: asked again, this study's own, or the end of the pull."""

import pytest
import requests

from client.pacs.contract import PacsSilentError, StudyFailedError
from client.pacs.http_faults import EXPECTED, explain, tls_words
from protocol.errors import PacsError


def status(code: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = code
    return requests.HTTPError(response=response)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (status(401), PacsError, "answered 401 Unauthorized; check username and password"),
        (status(403), PacsError, "answered 403 Forbidden; check username"),
        (status(503), PacsSilentError, "answered 503 Service Unavailable"),
        (status(404), StudyFailedError, "check url in the server file"),
        (status(499), StudyFailedError, "answered 499 unknown status"),
        (requests.ReadTimeout(), PacsSilentError, "no answer within 7 s"),
        (requests.ConnectTimeout(), PacsSilentError, "no answer within 7 s"),
        (requests.ConnectionError("Read timed out."), PacsSilentError, "no answer within 7 s"),
        (requests.exceptions.ChunkedEncodingError(), PacsSilentError, "refused or broke off"),
        (requests.ConnectionError("NameResolutionError: pacs"), PacsError, "the name of the host is not known"),
        (requests.exceptions.SSLError("certificate verify failed: self-signed"), PacsError, "name the hospital's CA"),
        (requests.TooManyRedirects(), PacsError, "points to another address, which is not followed"),
        (requests.exceptions.InvalidJSONError(), PacsError, "no DICOM JSON"),
        (ValueError("no part"), StudyFailedError, "cannot be read as DICOM (ValueError: no part)"),
    ],
)
def test_a_fault_is_told_with_place_and_remedy(error: Exception, kind: type[PacsError], words: str) -> None:
    found = explain(error, "PACS p, study 1.2", timeout_s=7)
    assert type(found) is kind
    assert str(found).startswith("PACS p, study 1.2: ")
    assert words in str(found)
    assert isinstance(error, EXPECTED)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("certificate verify failed: Hostname mismatch, certificate is not valid for 'a'", "for another name"),
        ("certificate verify failed: certificate has expired", "has expired"),
        ("certificate verify failed: unable to get local issuer certificate", "authority trusted here"),
        ("tlsv13 alert certificate required", "client certificate"),
        ("wrong version number", "check address and port"),
    ],
)
def test_a_handshake_that_failed_says_which_file_or_name_is_wrong(said: str, words: str) -> None:
    assert words in tls_words(said)
