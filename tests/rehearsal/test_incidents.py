"""The cells against a federation that is none: what they wait for, do, and take for seen."""

import gzip
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from tests.rehearsal import incidents
from tests.rehearsal.findings import Findings
from tests.rehearsal.incidents import CELLS, add_case, delete_case, spoil_case, wait_quietly

TOLD = "takes part in nothing from now on"


@pytest.fixture
def consortium(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """In round 3; its center has a case, and both sides tell of one that is gone."""
    case = tmp_path / "data" / "center-a" / "synthetic-center-a-01"
    case.mkdir(parents=True)
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((2, 2, 2), np.int16)), case / "ct.nii.gz")
    log = tmp_path / "center-a" / "trainer" / "trainer.log"
    log.parent.mkdir(parents=True)
    log.write_text("")

    def wait_until(holds: Any, what: str, within_s: float) -> None:
        assert holds(), what

    def run_log(_: Any) -> str:
        return "1 case(s) that it registered with are gone or cannot be\nread"

    monkeypatch.setattr(incidents, "run_log", run_log)
    return SimpleNamespace(
        folder=tmp_path,
        progress=lambda: {"state": "running", "server_round": 3},
        home=lambda center: tmp_path / center,
        wait_until=wait_until,
        log=log,
        case=case,
    )


@pytest.fixture
def _told(consortium: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainer's log names a case as soon as somebody looks again."""
    counts = iter(["", TOLD])
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: next(counts, TOLD))


def test_a_case_that_was_added_is_taken_away_after_the_run(consortium: Any) -> None:
    found = Findings()
    add_case(consortium, "center-a", {}, found)
    assert [path.name[-2:] for path in sorted(consortium.case.parent.iterdir())] == ["01", "99"]
    found.put_right()
    assert list(consortium.case.parent.iterdir()) == [consortium.case]


@pytest.mark.usefixtures("_told")
def test_a_case_that_was_deleted_comes_back_and_another_bank_is_right(consortium: Any) -> None:
    found = Findings()
    delete_case(consortium, "center-a", {}, found)
    assert not consortium.case.exists()
    assert (found.unseen, found.excused) == ([], "trained without that case of center-a")
    found.put_right()
    assert consortium.case.exists()


@pytest.mark.usefixtures("_told")
def test_a_spoilt_image_is_nan_all_over_and_comes_back_bit_by_bit(consortium: Any) -> None:
    image, found = consortium.case / "ct.nii.gz", Findings()
    before = image.read_bytes()
    spoil_case(consortium, "center-a", {}, found)
    stored = np.frombuffer(gzip.decompress(image.read_bytes())[352:], np.float32)  # ITK itself would read 0
    assert np.isnan(stored).sum() == stored.size == 8
    found.put_right()
    assert image.read_bytes() == before


def test_a_side_that_says_nothing_is_not_seen(consortium: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incidents, "SOON_S", 0.0)
    found = Findings()
    delete_case(consortium, "center-a", {}, found)
    assert found.unseen == ["the trainer's log names it"]


def test_a_quiet_wait_ends_as_soon_as_it_holds_and_in_vain_when_it_does_not() -> None:
    assert wait_quietly(lambda: True, within_s=60)
    assert not wait_quietly(lambda: False, within_s=0)


def test_names_of_cells_are_no_beginning_of_each_other() -> None:
    assert not [(a, b) for a in CELLS for b in CELLS if a != b and b.startswith(a)]
