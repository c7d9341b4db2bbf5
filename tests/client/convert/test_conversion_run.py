"""A conversion ends with every case accounted for, and a later one goes on where it stopped."""

from pathlib import Path

import pytest

from client.convert.contract import Choices, FoundCases
from client.convert.conversion_run import Summary, convert
from client.convert.identities import open_private
from client.convert.planning import plan
from client.convert.resumption import read_done
from client.data.manifest import Manifest
from client.data.scan import scan_center
from protocol.errors import StorageError
from tests.support.found_cases import CrewOfOne, Ending, QuietScreen, found_case


def _convert(tmp_path: Path, cases: dict[str, Ending], *, most: int = 1000, jobs: int = 1) -> Summary:
    source, dest, private = tmp_path / "source", tmp_path / "dest", open_private(tmp_path / "dest.private")
    source.mkdir(exist_ok=True)
    found = FoundCases(tuple(found_case(source, name, ending) for name, ending in cases.items()))
    made = plan(found, source, dest, "nifti", Choices(), private)
    return convert(made, dest, private, QuietScreen(most), jobs=jobs)


def _states(summary: Summary) -> list[str]:
    return sorted(outcome.state for outcome in summary.outcomes)


def _scan(tmp_path: Path) -> Manifest:
    return scan_center("center", [tmp_path / "dest"], ("ct", "pet"))


def test_a_case_that_kills_its_process_stops_no_other(tmp_path: Path) -> None:
    summary = _convert(tmp_path, {"a": "read", "b": "die"})
    assert {outcome.state: outcome.record.issues[-1].code for outcome in summary.outcomes} == {
        "converted": "made",
        "failed": "worker-died",
    }
    assert not summary.complete


@pytest.fixture
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.convert.conversion_run.Crew", CrewOfOne)


def test_a_second_run_touches_only_what_changed(one_process: None, tmp_path: Path) -> None:
    first = _convert(tmp_path, {"a": "read", "b": "raise", "c": "read"})
    assert _states(first) == ["converted", "converted", "failed"]
    private = open_private(tmp_path / "dest.private")
    assert "ZeroDivisionError: of Mueller" in {issue.source for issue in private.read_issues()}

    (tmp_path / "source/c").write_text("100")
    second = _convert(tmp_path, {"a": "read", "b": "read", "c": "read"})
    assert _states(second) == ["converted", "converted", "unchanged"]
    assert second.complete
    assert len(_scan(tmp_path).cases) == 3
    assert {case.patient for case in _scan(tmp_path).cases} == {private.patient_id("Mueller")}
    assert all(origin.origins["study_uid"] == "1.2.3" for origin in private.read_origins().values())
    made = [issue for issue in private.read_issues() if issue.code == "made"]
    assert [issue.source for issue in made] == ["Mueller"] * 3


def test_a_run_that_is_stopped_keeps_what_it_made_and_the_next_one_goes_on(one_process: None, tmp_path: Path) -> None:
    cases: dict[str, Ending] = {"a": "read", "b": "read", "c": "read"}
    stopped = _convert(tmp_path, cases, most=1)
    assert stopped.stopped
    assert _states(stopped) == ["converted"]
    assert len(_scan(tmp_path).cases) == 1
    assert _states(_convert(tmp_path, cases)) == ["converted", "converted", "unchanged"]


def test_a_full_disk_ends_the_run_and_keeps_what_was_made(one_process: None, tmp_path: Path) -> None:
    _convert(tmp_path, {"a": "read"})
    with pytest.raises(StorageError, match="no space left"):
        _convert(tmp_path, {"a": "read", "b": "full"})
    assert [path.name for path in (tmp_path / "dest").glob(".*")] == []
    (done,) = read_done(tmp_path / "dest.private/state.json").values()
    assert done.choices == Choices(), "so that a study of a correction is converted alike"
    assert len(_scan(tmp_path).cases) == 1


def test_what_a_killed_run_left_is_removed(one_process: None, tmp_path: Path) -> None:
    (tmp_path / "dest/.case-a.0011aabb.part").mkdir(parents=True)
    _convert(tmp_path, {})
    assert list((tmp_path / "dest").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "dest").write_text("a file")
    with pytest.raises(StorageError, match="cannot be made"):
        _convert(tmp_path, {})
