"""DICOMweb against a real PACS with TLS and a password, and over a line that breaks."""

import json
from base64 import b64encode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Literal

import pytest
from pydantic import SecretStr
from pydicom import dcmread

from client.pacs.contract import FoundSeries, FoundStudy, PacsSilentError, StudyFailedError, StudyQuery
from client.pacs.dicomweb import DicomwebClient
from protocol.errors import PacsError
from tests.support.answering import answering, requests_seen
from tests.support.breaking_line import breaking_line
from tests.support.dicom_study import MadeStudy
from tests.support.orthanc import PASSWORD, USER, Orthanc, orthanc
from tests.support.pacs import compress, dicomweb, write_study

pytestmark = pytest.mark.network
STUDY = MadeStudy(study_uid="1.2.826.0.1.77", patient_id="P-1")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    found = write_study(
        tmp_path_factory.mktemp("study"), STUDY, SeriesDescription="été", SpecificCharacterSet="ISO_IR 100"
    )
    compress(found["CT"][0])
    return found


@pytest.fixture(scope="module")
def pacs(files: dict[str, list[Path]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("pacs"), tls=True) as server:
        server.upload(path for modality in ("CT", "PT", "CR") for path in files[modality])
        yield server


def fetch(client: DicomwebClient, series: FoundSeries) -> dict[str, bytes]:
    came: dict[str, bytes] = {}
    client.fetch_series(series, came.__setitem__)
    return came


def series_of(client: DicomwebClient, modality: str) -> FoundSeries:
    return next(one for one in client.find_series(STUDY.study_uid) if one.modality == modality)


@pytest.mark.parametrize(
    "query",
    [
        StudyQuery(study_uid=STUDY.study_uid),
        StudyQuery(accession="A-1"),
        StudyQuery(patient_id="P-1", study_date="20200301"),
    ],
)
def test_a_study_is_found_by_each_of_its_names(pacs: Orthanc, query: StudyQuery) -> None:
    found = DicomwebClient(dicomweb(pacs)).find_studies(query)
    assert found == (FoundStudy(STUDY.study_uid, "A-1", "P-1", "20200301"),)


def test_a_study_that_is_not_there_is_no_error(pacs: Orthanc) -> None:
    client = DicomwebClient(dicomweb(pacs))
    assert client.find_studies(StudyQuery(accession="A-2")) == ()
    assert client.find_series("1.2.3") == ()


def test_series_come_with_modality_and_every_object(pacs: Orthanc, files: dict[str, list[Path]]) -> None:
    found = {one.modality: one.sop_uids for one in DicomwebClient(dicomweb(pacs)).find_series(STUDY.study_uid)}
    assert {modality: len(uids) for modality, uids in found.items()} == {"CT": 3, "PT": 3, "CR": 1}
    assert sorted(found["CT"]) == sorted(dcmread(path).SOPInstanceUID for path in files["CT"])


def test_objects_come_as_they_were_stored_compressed_or_not(pacs: Orthanc, files: dict[str, list[Path]]) -> None:
    client = DicomwebClient(dicomweb(pacs))
    came = fetch(client, series_of(client, "CT"))
    for path in files["CT"]:
        sent = dcmread(path)
        got = dcmread(BytesIO(came[sent.SOPInstanceUID]))
        assert got == sent
        assert got.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID


def test_what_is_kept_wrong_here_is_no_fault_of_the_pacs(pacs: Orthanc) -> None:
    def keep(_uid: str, _content: bytes) -> None:
        raise ValueError("mine")

    client = DicomwebClient(dicomweb(pacs))
    with pytest.raises(ValueError, match="mine"):
        client.fetch_series(series_of(client, "PT"), keep)


def test_an_object_is_stored_and_listed(pacs: Orthanc, files: dict[str, list[Path]]) -> None:
    client = DicomwebClient(dicomweb(pacs))
    client.store(files["RTSTRUCT"][0])
    assert series_of(client, "RTSTRUCT").sop_uids == (dcmread(files["RTSTRUCT"][0]).SOPInstanceUID,)


FAILED = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0x0122]}}]}}


@pytest.mark.parametrize("status", [200, 202, 409])
def test_an_object_that_is_refused_says_why(pacs: Orthanc, files: dict[str, list[Path]], status: int) -> None:
    with answering(status, json.dumps(FAILED), "application/dicom+json") as url:
        client = DicomwebClient(dicomweb(pacs, url=url, authority=None))
        with pytest.raises(StudyFailedError, match=r"storing object .*: not stored: .*\(SOP class not supported\)"):
            client.store(files["RTSTRUCT"][0])


def test_a_refusal_without_reasons_keeps_its_status(pacs: Orthanc, files: dict[str, list[Path]]) -> None:
    with answering(415, "no", "text/plain") as url:
        client = DicomwebClient(dicomweb(pacs, url=url, authority=None))
        with pytest.raises(StudyFailedError, match="answered 415 Unsupported Media Type"):
            client.store(files["RTSTRUCT"][0])


def test_a_page_in_place_of_dicom_names_the_url(pacs: Orthanc) -> None:
    with answering(200, "<html>sign in</html>", "text/html") as url:
        client = DicomwebClient(dicomweb(pacs, url=url, authority=None))
        with pytest.raises(PacsError, match="no DICOM JSON; check url"):
            client.find_studies(StudyQuery(accession="A-1"))


def test_a_redirection_is_not_followed(pacs: Orthanc) -> None:
    with answering(302, "", "text/plain", Location="http://localhost:9/elsewhere") as url:
        client = DicomwebClient(dicomweb(pacs, url=url, authority=None))
        with pytest.raises(PacsError, match="points to another address, which is not followed"):
            client.find_studies(StudyQuery(accession="A-1"))


def test_a_server_that_knows_no_pages_is_not_asked_for_ever(pacs: Orthanc) -> None:
    series = [{"0020000E": {"vr": "UI", "Value": ["1.2.9"]}, "00080018": {"vr": "UI", "Value": ["1.2.9.1"]}}]
    with answering(200, json.dumps(series), "application/dicom+json") as url:
        found = DicomwebClient(dicomweb(pacs, url=url, authority=None)).find_series("1.2")
    assert found == (FoundSeries("1.2", "1.2.9", "", ("1.2.9.1",)),)


@pytest.mark.parametrize("signs", ["token", "password"])
def test_credentials_go_where_the_pacs_expects_them(pacs: Orthanc, signs: str) -> None:
    said = {"token": "secret", "username": "", "password": ""} if signs == "token" else {}
    with answering(200, "[]", "application/dicom+json") as url, requests_seen() as seen:
        DicomwebClient(dicomweb(pacs, url=url, authority=None, **said)).find_studies(StudyQuery(accession="A-1"))
    expected = "Bearer secret" if signs == "token" else f"Basic {b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
    assert seen[0]["Authorization"] == expected


def test_a_wrong_password_is_refused_and_not_shown(pacs: Orthanc) -> None:
    client = DicomwebClient(dicomweb(pacs, password=SecretStr("a-wrong-one")))
    with pytest.raises(PacsError, match="401 Unauthorized; check username and password") as refused:
        client.find_studies(StudyQuery(accession="A-1"))
    assert type(refused.value) is PacsError
    assert "a-wrong-one" not in str(refused.value)


def test_another_authority_is_refused(pacs: Orthanc) -> None:
    with pytest.raises(PacsError, match="name the hospital's CA file as authority"):
        DicomwebClient(dicomweb(pacs, authority=None)).find_studies(StudyQuery(accession="A-1"))


def test_a_certificate_for_another_name_is_refused(pacs: Orthanc) -> None:
    url = f"https://127.0.0.2:{pacs.https_port}/dicom-web"
    with pytest.raises(PacsError, match="its certificate is for another name"):
        DicomwebClient(dicomweb(pacs, url=url)).find_studies(StudyQuery(accession="A-1"))


def test_an_unknown_host_is_named(pacs: Orthanc) -> None:
    with pytest.raises(PacsError, match="the name of the host is not known"):
        DicomwebClient(dicomweb(pacs, url="https://no-such-host.invalid/x")).find_series("1.2")


def test_the_proxy_of_the_environment_is_passed_over(pacs: Orthanc, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert DicomwebClient(dicomweb(pacs)).find_studies(StudyQuery(accession="A-1"))


@pytest.mark.parametrize("breaks", ["silent", "cut"])
def test_a_pacs_that_stops_in_the_middle_is_told_and_what_came_stays(
    pacs: Orthanc, breaks: Literal["silent", "cut"]
) -> None:
    """5,2 kB are three objects and what is around them: the line breaks within the third."""
    client = DicomwebClient(dicomweb(pacs))
    series = series_of(client, "CT")
    came: dict[str, bytes] = {}
    with breaking_line(pacs.http_port) as line:
        server = dicomweb(pacs, url=f"http://localhost:{line.port}/dicom-web", authority=None, timeout_s=2)
        line.break_after(5200, breaks)
        with pytest.raises(PacsSilentError, match=f"study {STUDY.study_uid}, series {series.series_uid}"):
            DicomwebClient(server).fetch_series(series, came.__setitem__)
    assert len(came) < len(series.sop_uids)
