from dataclasses import replace

import numpy as np
import pytest

from client.audit.pool import AuditPool, gather
from client.data.preprocessing import PreparedCase
from protocol.errors import TooFewError
from protocol.messages.instruction import Part
from tests.support.audited_center import manifest_of, pool, prepared
from tests.support.small_training import TASK, made


def test_who_trains_is_a_member_and_everybody_else_is_not() -> None:
    found = pool()
    assert found.names == ("a", "b", "c", "d")
    assert found.members.tolist() == [True, True, False, False]
    assert [case.name for case in found.training] == ["a", "b"]


def test_who_has_a_score_is_told_by_the_cases_of_each() -> None:
    scored = pool().scored(np.array([0.5, np.nan, 1.0, 2.0]))
    assert (scored.members, scored.others) == ((("a",),), (("c",), ("d",)))
    of_two = AuditPool(pool().cases, ("p", "p", "q", "r"), (True, True, False, False))
    assert of_two.scored(np.zeros(3)).members == (("a", "b"),)


def test_cases_of_a_patient_are_one_name() -> None:
    cases = {name: made(name, "ct+pet") for name in "abcd"}
    parts: dict[Part, list[PreparedCase]] = {"train": [cases["a"], cases["b"]], "test": [cases["c"], cases["d"]]}
    whose = {"a": "p", "b": "q", "c": "r", "d": "s"}
    found = gather(manifest_of(whose), parts, TASK)
    assert [case.name for case in found.of_patients(["q", "s"])] == ["b", "d"]
    with pytest.raises(TooFewError, match="1 with the target"):
        gather(manifest_of({**whose, "b": "p"}), parts, TASK)


def test_who_trains_in_one_folder_and_is_tested_in_another_trained() -> None:
    """The part is drawn by folder; nobody is told from himself."""
    manifest = manifest_of({"a": "p", "c": "p"})
    cases = tuple(replace(case, folder="other") if case.name == "c" else case for case in manifest.cases)
    with pytest.raises(TooFewError, match="2 with the target of segmentation trained, 1 did not"):
        gather(replace(manifest, cases=cases), prepared(), TASK)


def test_a_case_without_the_target_is_in_no_pool() -> None:
    parts = {**prepared(), "test": [made("d", "ct+pet", 3, labelled=False)]}
    with pytest.raises(TooFewError, match="2 with the target of segmentation trained, 1 did not, 2 of each"):
        gather(manifest_of(), parts, TASK)
