from pathlib import Path
from typing import Any

import pytest

from protocol.tasks import TASKS
from server.card import answers
from server.card.known_facts import read_facts
from server.card.model_card import build_card
from tests.support.carded_study import write_carded


@pytest.fixture
def card(tmp_path: Path) -> dict[str, Any]:
    write_carded(tmp_path)
    return build_card(read_facts(tmp_path, "shared", None))


def test_counts_are_those_of_the_centers(card: dict[str, Any]) -> None:
    assert answers.counts(card).startswith("center-a: train 7, validation 2, test 3; center-b:")


def test_a_center_that_nobody_counted_is_unknown_and_not_zero(card: dict[str, Any]) -> None:
    card["data"] = [{**card["data"][0], "cases": {"train": None, "validation": 0}}]
    assert answers.counts(card) == "center-a: train unknown, validation 0"


def test_without_a_score_nothing_is_said_of_performance(card: dict[str, Any]) -> None:
    assert answers.performance({**card, "scores": []}) == ""
    assert answers.metrics({**card, "scores": []}) == ""


def test_without_a_gate_the_last_state_is_the_one(card: dict[str, Any]) -> None:
    assert "no gate" in answers.selection({**card, "study": {**card["study"], "gate": False}})


def test_only_a_center_outside_of_training_is_external(card: dict[str, Any]) -> None:
    assert answers.external(card) == ""
    assert "center-d" in answers.external({**card, "training": card["training"][:2]})


def test_every_task_has_an_output() -> None:
    assert answers.OUTPUTS.keys() == TASKS.keys()
