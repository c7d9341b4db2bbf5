"""The DICOM protocol against a real PACS with TLS, servers with bad days, and a line that breaks."""

import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Literal

import pytest
from pydicom import dcmread
from pynetdicom import evt
from pynetdicom.association import Association

from client.pacs.contract import FoundSeries, FoundStudy, PacsSilentError, StudyFailedError, StudyQuery
from client.pacs.dimse import FIND, DimseClient
from client.pacs.patience import Patience
from protocol.errors import PacsError
from tests.support.breaking_line import breaking_line
from tests.support.dicom_peers import answer_with, dicom_peer, never_answer
from tests.support.dicom_study import MadeStudy
from tests.support.loopback import wait_until
from tests.support.orthanc import Orthanc, orthanc
from tests.support.pacs import compress, dimse, write_study

pytestmark = pytest.mark.network
STUDY = MadeStudy(study_uid="1.2.826.0.1.88", patient_id="P-1")
TITLES = {"host": "127.0.0.1", "title": "PEER", "tls": False, "authority": None}


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


def series_of(client: DimseClient, modality: str) -> FoundSeries:
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
    found = DimseClient(dimse(pacs)).find_studies(query)
    assert found == (FoundStudy(STUDY.study_uid, "A-1", "P-1", "20200301"),)


def test_a_study_that_is_not_there_is_no_error(pacs: Orthanc) -> None:
    client = DimseClient(dimse(pacs))
    assert client.find_studies(StudyQuery(accession="A-2")) == ()
    assert client.find_series("1.2.3") == ()


def test_objects_come_as_they_were_stored_compressed_or_not(pacs: Orthanc, files: dict[str, list[Path]]) -> None:
    client = DimseClient(dimse(pacs))
    came: dict[str, bytes] = {}
    client.fetch_series(series_of(client, "CT"), came.__setitem__)
    assert len(came) == len(files["CT"])
    for path in files["CT"]:
        sent = dcmread(path)
        got = dcmread(BytesIO(came[sent.SOPInstanceUID]))
        assert got == sent
        assert got.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID


def test_an_object_is_stored_and_listed(pacs: Orthanc, files: dict[str, list[Path]]) -> None:
    client = DimseClient(dimse(pacs))
    client.store(files["RTSTRUCT"][0])
    assert series_of(client, "RTSTRUCT").sop_uids == (dcmread(files["RTSTRUCT"][0]).SOPInstanceUID,)


def test_what_is_kept_wrong_here_is_no_fault_of_the_pacs(pacs: Orthanc) -> None:
    kept: list[str] = []

    def keep(uid: str, _content: bytes) -> None:
        kept.append(uid)
        raise ValueError("mine")

    client = DimseClient(dimse(pacs))
    with pytest.raises(ValueError, match="mine"):
        client.fetch_series(series_of(client, "PT"), keep)
    assert len(kept) == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"our_title": "STRANGER"}, "does not know our AE title 'STRANGER'; ask"),
        ({"title": "ELSEWHERE"}, "does not call itself 'ELSEWHERE'; correct title"),
        ({"host": "127.0.0.2"}, "its certificate is for another name"),
        ({"authority": None}, "name the hospital's CA file as authority"),
        ({"host": "no-such-host.invalid"}, "the name of the host is not known"),
    ],
)
def test_a_refusal_is_named_with_its_remedy(pacs: Orthanc, changed: dict[str, object], words: str) -> None:
    """Orthanc now and then cuts the line before its refusal is read; then it is asked again, as a pull would."""
    client = DimseClient(dimse(pacs, **changed))
    with pytest.raises(PacsError, match=words) as refused:
        Patience(5, 0.01).ask(lambda: client.find_studies(StudyQuery(accession="A-1")))
    assert type(refused.value) is PacsError


def test_a_port_without_dicom_tls_is_silent_and_says_so(pacs: Orthanc) -> None:
    client = DimseClient(dimse(pacs, tls=False, authority=None, timeout_s=0.5))
    with pytest.raises(PacsSilentError, match="speaks DICOM with TLS"):
        client.find_studies(StudyQuery(accession="A-1"))


@pytest.mark.parametrize("breaks", ["silent", "cut"])
def test_a_pacs_that_stops_in_the_middle_is_told_and_what_came_stays(
    pacs: Orthanc, breaks: Literal["silent", "cut"]
) -> None:
    came: list[str] = []

    def keep(uid: str, _content: bytes) -> None:
        came.append(uid)
        line.break_after(0, breaks)

    series = series_of(DimseClient(dimse(pacs)), "CT")
    with breaking_line(pacs.dicom_port) as line:
        client = DimseClient(dimse(pacs, port=line.port, timeout_s=2))
        with pytest.raises(PacsSilentError, match=f"series {series.series_uid}: it broke off or did not answer within"):
            client.fetch_series(series, keep)
    assert len(came) == 1


def test_a_pacs_that_takes_the_question_and_says_nothing_is_silent(pacs: Orthanc) -> None:
    with dicom_peer([FIND], [(evt.EVT_C_FIND, never_answer)]) as port:
        client = DimseClient(dimse(pacs, **TITLES, port=port, timeout_s=0.5))
        with pytest.raises(PacsSilentError, match=r"did not answer within 0\.5 s"):
            client.find_series("1.2")


def test_a_status_of_failure_is_told_with_the_words_of_the_pacs(pacs: Orthanc) -> None:
    said = r"status 0xC001 \(no index\), expected success"
    peer = dicom_peer([FIND], [(evt.EVT_C_FIND, answer_with(0xC001, "no index"))])
    with peer as port, pytest.raises(StudyFailedError, match=said):
        DimseClient(dimse(pacs, **TITLES, port=port)).find_series("1.2")


def test_a_service_that_is_not_offered_is_named(pacs: Orthanc, files: dict[str, list[Path]]) -> None:
    with dicom_peer([FIND], []) as port:
        client = DimseClient(dimse(pacs, **TITLES, port=port))
        with pytest.raises(PacsError, match="does not offer 'CONCILIUM' RT Structure Set Storage"):
            client.store(files["RTSTRUCT"][0])
        with pytest.raises(PacsError, match=r"does not offer 'CONCILIUM' .*GET"):
            client.fetch_series(FoundSeries("1.2", "1.3", "CT", ("1.4",)), lambda *_: None)


def test_a_store_that_is_refused_says_why(pacs: Orthanc, files: dict[str, list[Path]]) -> None:
    storage = dcmread(files["RTSTRUCT"][0]).SOPClassUID
    peer = dicom_peer([storage], [(evt.EVT_C_STORE, lambda _event: 0xA700)])
    with peer as port, pytest.raises(StudyFailedError, match="not stored: it has no room or no resources"):
        DimseClient(dimse(pacs, **TITLES, port=port)).store(files["RTSTRUCT"][0])


def test_no_connection_of_ours_outlives_a_question(pacs: Orthanc) -> None:
    DimseClient(dimse(pacs)).find_series(STUDY.study_uid)
    wait_until(lambda: not any(map(_is_ours, threading.enumerate())), "end of our associations", within_s=20)


def _is_ours(thread: threading.Thread) -> bool:
    return isinstance(thread, Association) and thread.is_requestor
