"""A worklist against a PACS: what becomes of every row, and when the pull ends."""

import json
import stat
from pathlib import Path

import pytest

from client.pacs.contract import FoundStudy, PacsSilentError, StudyFailedError, StudyQuery
from client.pacs.pace import Pace
from client.pacs.pull import Outcome, Wanted, look, pull, summary, write_summary
from client.pacs.worklist import Entry
from protocol.errors import PacsError
from tests.support.pacs import AT_ONCE, PacsInMemory, made_pacs

MODALITIES = ("CT", "PT")


def rows(*said: StudyQuery) -> list[Entry]:
    return [Entry(line, one) for line, one in enumerate(said, start=2)]


BOTH = rows(StudyQuery(study_uid="1.1"), StudyQuery(accession="A-2"))


def run(pacs: PacsInMemory, entries: list[Entry], out: Path) -> list[Outcome]:
    return list(pull(pacs, entries, out, modalities=MODALITIES, patience=AT_ONCE, pace=Pace(None)))


def test_every_study_of_a_worklist_comes(tmp_path: Path) -> None:
    found = run(made_pacs(), BOTH, tmp_path)
    assert [(one.line, one.state, one.study_uid, one.series, one.objects, one.received) for one in found] == [
        (2, "complete", "1.1", {"CT": 1, "PT": 1}, 5, 5),
        (3, "complete", "1.2", {"CT": 1, "PT": 1}, 5, 5),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.1", "1.2"]


def test_a_second_pull_fetches_nothing(tmp_path: Path) -> None:
    pacs = made_pacs()
    run(pacs, BOTH, tmp_path)
    assert [(one.state, one.received) for one in run(pacs, BOTH, tmp_path)] == [("complete", 0), ("complete", 0)]


def test_a_study_that_is_not_there_is_told_and_the_next_one_comes(tmp_path: Path) -> None:
    found = run(made_pacs(), rows(StudyQuery(study_uid="9.9"), StudyQuery(study_uid="1.2")), tmp_path)
    assert [(one.line, one.state) for one in found] == [(2, "not-found"), (3, "complete")]
    assert "no such study" in found[0].problem


def test_a_study_of_another_patient_is_not_fetched(tmp_path: Path) -> None:
    pacs = made_pacs()
    found = run(pacs, rows(StudyQuery(study_uid="1.1", patient_id="somebody")), tmp_path)
    assert [(one.state, pacs.fetched) for one in found] == [("other-study", [])]
    assert "another patient_id" in found[0].problem
    assert "somebody" not in found[0].problem


def test_an_accession_number_of_two_studies_means_both(tmp_path: Path) -> None:
    pacs = made_pacs([("1.1", "A-1"), ("1.2", "A-1")])
    found = run(pacs, rows(StudyQuery(accession="A-1")), tmp_path)
    assert [(one.line, one.study_uid) for one in found] == [(2, "1.1"), (2, "1.2")]


def test_a_study_without_such_series_says_what_it_has(tmp_path: Path) -> None:
    pacs = made_pacs()
    pacs.series = [one for one in pacs.series if one.modality == "SR"]
    found = run(pacs, BOTH[:1], tmp_path)
    assert found[0].state == "nothing-to-fetch"
    assert "no series of CT, PT with objects, it has SR" in found[0].problem


def test_a_study_that_fails_does_not_keep_the_next_one_back(tmp_path: Path) -> None:
    pacs = made_pacs()
    pacs.fails = {"1.1.2": [StudyFailedError("cannot send it")]}
    found = run(pacs, BOTH, tmp_path)
    assert [(one.state, one.problem) for one in found] == [("incomplete", "cannot send it"), ("complete", "")]
    assert len(list((tmp_path / "1.1" / "1.1.1").iterdir())) == 3


def test_a_pacs_that_falls_silent_ends_the_pull_with_the_study_told(tmp_path: Path) -> None:
    pacs = made_pacs()
    pacs.fails = {"1.1.2": [PacsSilentError("silent")]}
    outcomes = pull(pacs, BOTH, tmp_path, modalities=MODALITIES, patience=AT_ONCE, pace=Pace(None))
    assert next(outcomes).state == "incomplete"
    with pytest.raises(PacsSilentError):
        next(outcomes)
    assert len(list((tmp_path / "1.1" / "1.1.1").iterdir())) == 3


def test_a_refusal_ends_the_pull(tmp_path: Path) -> None:
    pacs = made_pacs()
    pacs.fails = {"1.1.1": [PacsError("refused")]}
    with pytest.raises(PacsError, match="refused"):
        run(pacs, BOTH, tmp_path)


class Unasked(PacsInMemory):
    """Fails at its second question."""

    def find_series(self, study_uid: str) -> tuple[()]:
        raise StudyFailedError(f"no list of {study_uid}")


class Deaf(PacsInMemory):
    """Fails at its first question."""

    def find_studies(self, _query: StudyQuery) -> tuple[()]:
        raise StudyFailedError("no answer that can be read")


@pytest.mark.parametrize(("kind", "problem"), [(Unasked, "no list of 1.1"), (Deaf, "no answer that can be read")])
def test_a_question_that_fails_is_this_row_s_own(tmp_path: Path, kind: type[PacsInMemory], problem: str) -> None:
    found = run(kind(studies=[FoundStudy("1.1")]), BOTH[:1], tmp_path)
    assert [(one.line, one.state, one.problem) for one in found] == [(2, "incomplete", problem)]


def test_a_look_fetches_nothing() -> None:
    pacs = made_pacs()
    found = list(look(pacs, BOTH, modalities=MODALITIES, patience=AT_ONCE))
    assert [one.outcome("found").objects for one in found if isinstance(one, Wanted)] == [5, 5]
    assert pacs.fetched == []


def test_the_summary_counts_and_is_private(tmp_path: Path) -> None:
    outcomes = [Outcome(2, "complete", "1.1", {"CT": 1}, 3, 3, 30), Outcome(3, "not-found", problem="none")]
    write_summary(tmp_path, summary("PACS p", outcomes, stopped="silent"))
    found = json.loads((tmp_path / "pull.json").read_text())
    assert (found["counts"], found["received_objects"], found["received_bytes"], found["stopped"]) == (
        {"complete": 1, "not-found": 1},
        3,
        30,
        "silent",
    )
    assert stat.S_IMODE((tmp_path / "pull.json").stat().st_mode) == 0o600
