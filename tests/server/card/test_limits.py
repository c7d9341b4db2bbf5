from dataclasses import replace
from pathlib import Path

import pytest

from server.card.known_facts import KnownFacts, read_facts
from server.card.limits import limits_of
from tests.support.carded_study import audit_of, carded_result, write_carded


@pytest.fixture
def facts(tmp_path: Path) -> KnownFacts:
    write_carded(tmp_path)
    return read_facts(tmp_path, "shared", None)


def test_the_limits_that_facts_show_are_said(facts: KnownFacts) -> None:
    text = "\n".join(limits_of(facts))
    assert "every case is a computed phantom" in text
    assert "Phantoms of three simulated scanners; one center without PET." in text
    assert "Fewer than 10 test cases at 3 of 3 center(s): center-a 3, center-b 3, center-d 3." in text
    assert "One seed (7)" in text
    assert "Forgetting of 0.008 with CT+PET" in text
    assert "No external validation" in text
    assert "The candidate of stage arrive-d was refused" in text
    assert "Nobody handed on an attack" in text


def test_a_center_that_trained_in_no_stage_is_external(facts: KnownFacts) -> None:
    result = carded_result()
    result["stages"] = [stage for stage in result["stages"] if stage["name"] != "arrive-d"]
    text = "\n".join(limits_of(replace(facts, result=result)))
    assert "No external validation" not in text
    assert "trained in no stage: center-d" in text


def test_an_attack_that_was_handed_on_is_no_limit(facts: KnownFacts) -> None:
    text = "\n".join(limits_of(replace(facts, audits=(audit_of(facts.entry),))))
    assert "Nobody handed on" not in text


def test_attacks_that_a_center_withholds_are_a_limit(facts: KnownFacts) -> None:
    audit = audit_of(facts.entry, suppressed=("gram-sketch",))
    text = "\n".join(limits_of(replace(facts, audits=(audit,))))
    assert "center-a withholds attacks on too few patients: gram-sketch" in text


def test_a_center_that_withdrew_is_named(facts: KnownFacts) -> None:
    assert "Withdrawn from the study: center-b;" in "\n".join(limits_of(replace(facts, withdrawn=("center-b",))))


def test_an_interrupted_study_says_so(facts: KnownFacts) -> None:
    assert any(
        "interrupted" in limit for limit in limits_of(replace(facts, result=carded_result(status="interrupted")))
    )
