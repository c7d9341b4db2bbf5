"""Objects into the PACS: one refusal keeps no other back, and what was taken is asked for."""

from pathlib import Path

import pytest

from client.pacs.contract import FoundSeries, StudyFailedError
from client.pacs.storing import store
from protocol.errors import PacsError
from tests.support.dicom_study import MadeStudy, body_phantom, write_ct
from tests.support.pacs import AT_ONCE, PacsInMemory

STUDY = MadeStudy(study_uid="1.2.5")


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    hu, _ = body_phantom((3, 8, 8))
    return write_ct(tmp_path, STUDY, hu, SeriesInstanceUID="1.2.5.1")


def listing(paths: list[Path], count: int) -> FoundSeries:
    from pydicom import dcmread

    return FoundSeries("1.2.5", "1.2.5.1", "CT", tuple(str(dcmread(path).SOPInstanceUID) for path in paths[:count]))


def test_all_are_sent_and_listed(paths: list[Path]) -> None:
    pacs = PacsInMemory(series=[listing(paths, 3)])
    sent = store(pacs, paths, patience=AT_ONCE)
    assert pacs.stored == paths
    assert [(one.path, one.study_uid, one.problem) for one in sent] == [(path, "1.2.5", "") for path in paths]


def test_one_that_is_refused_is_told_and_the_others_are_sent(paths: list[Path]) -> None:
    pacs = PacsInMemory(series=[listing(paths, 3)], refuses={paths[0].name: StudyFailedError("not stored: no room")})
    sent = store(pacs, paths, patience=AT_ONCE)
    assert [one.problem for one in sent] == ["not stored: no room", "", ""]


def test_one_that_the_pacs_took_but_does_not_list_is_told(paths: list[Path]) -> None:
    sent = store(PacsInMemory(series=[listing(paths, 2)]), paths, patience=AT_ONCE)
    assert [bool(one.problem) for one in sent] == [False, False, True]
    assert f"took object {sent[2].sop_uid} but does not list it in study 1.2.5" in sent[2].problem


def test_a_refusal_of_this_center_ends_it(paths: list[Path]) -> None:
    pacs = PacsInMemory(refuses={paths[0].name: PacsError("not authorised")})
    with pytest.raises(PacsError, match="not authorised"):
        store(pacs, paths, patience=AT_ONCE)
