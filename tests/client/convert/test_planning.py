"""A plan names cases by their ids and tells what is there twice, came from elsewhere, or is gone."""

from dataclasses import replace
from pathlib import Path

import pytest

from client.convert.contract import Choices, FoundCases
from client.convert.identities import Origin, open_private
from client.convert.planning import find_cases, plan
from protocol.errors import CaseError
from tests.support.found_cases import found_case


def _plan(tmp_path: Path, *names: str, source: str = "source"):
    (tmp_path / source).mkdir(exist_ok=True)
    cases = FoundCases(tuple(found_case(tmp_path / source, name) for name in names))
    private = open_private(tmp_path / "private")
    found = plan(cases, tmp_path / source, tmp_path / "dest", "nifti", Choices(), private)
    private.write_origins(found.named)
    return found


def _codes(found) -> list[str]:
    return [issue.code for issue in (*found.issues, *(issue for task in found.tasks for issue in task.found.issues))]


def test_cases_get_ids_and_folders_of_these(tmp_path: Path) -> None:
    one, two = _plan(tmp_path, "a", "b").tasks
    assert one.case == open_private(tmp_path / "private").case_id("Mueller\na") != two.case
    assert one.folder == tmp_path / "dest" / one.case


def test_whom_ids_stand_for_is_kept_with_what_was_known(tmp_path: Path) -> None:
    found = _plan(tmp_path, "a")
    case = found.tasks[0].case
    private = open_private(tmp_path / "private")
    private.write_origins({case: replace(found.named[case], origins={"study_uid": "1.2.3"}), "case-x": ORIGIN})
    again = _plan(tmp_path, "a")
    assert again.named[case].origins == {"study_uid": "1.2.3"}
    assert again.named["case-x"] == ORIGIN


def test_a_study_that_is_there_twice_is_converted_once_and_told(tmp_path: Path) -> None:
    found = _plan(tmp_path, "a", "a")
    assert len(found.tasks) == 1
    assert _codes(found) == ["twice"]


def test_a_study_of_another_source_before_is_told_and_keeps_its_id(tmp_path: Path) -> None:
    first, second = _plan(tmp_path, "a"), _plan(tmp_path, "a", source="other")
    assert first.tasks[0].case == second.tasks[0].case
    assert (_codes(first), _codes(second)) == ([], ["other-source"])


def test_two_cases_with_one_id_are_refused(tmp_path: Path) -> None:
    found = _plan(tmp_path, "a")
    case = found.tasks[0].case
    open_private(tmp_path / "private").write_origins({case: ORIGIN})
    with pytest.raises(CaseError, match=f"two cases have the id {case}"):
        _plan(tmp_path, "a")


def test_a_converted_case_that_its_source_lost_is_told_and_kept(tmp_path: Path) -> None:
    first = _plan(tmp_path, "a", "b")
    first.tasks[1].folder.mkdir(parents=True)
    (issue,) = _plan(tmp_path, "a").issues
    assert (issue.code, issue.case, issue.grade) == ("source-gone", first.tasks[1].case, "warning")
    assert _codes(_plan(tmp_path, "c", source="other")) == []


def test_cases_are_found_by_the_row_of_the_layout(tmp_path: Path) -> None:
    found = find_cases(tmp_path, "dicom", Choices(), open_private(tmp_path / "private"), lambda _: None)
    assert found.cases == ()


ORIGIN = Origin("somebody else", "else", "/elsewhere")
