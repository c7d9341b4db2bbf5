"""Every robust rule against every attack, in a round of seven centers that goes the whole way of the coordinator."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protocol.local_steps import Reach
from protocol.messages.payload import Payload
from strategies.robust.rules import RULES
from tests.support.attacks import INFLATED, UPDATES, as_far_as_admitted
from tests.support.ended_round import Ended
from tests.support.hostile_updates import Sent
from tests.support.seven_centers import LIAR, NOISE, SEVEN, attacked, concluded, seven_centers

ATTACKS = sorted(UPDATES)
ADMITTED = Reach(move=2e-4, shrink=0)
"""A fifth of a step of 1e-3, which is what the first step of the round does at most."""


def ruled(rule: str, *lines: str) -> str:
    reference = ', reference = "a"' if RULES[rule].referenced else ""
    return seven_centers(f'rule = "{rule}"{reference}', *lines)


def sent(ended: Ended, name: str) -> np.ndarray:
    """B as a center sent it, minus where it began."""
    tensors = ended.inbox.read(name, "adapt", 1).tensors
    return np.asarray(tensors["qkv#lora_b"].astype(float) - ended.entered.state.shared["qkv#lora_b"])


def off(ended: Ended, cases: int = 5) -> tuple[float, float]:
    """How far the result is from the mean of the honest, and how far the farthest of these is."""
    honest = np.array([sent(ended, name) for name in SEVEN if name != LIAR])
    center = honest.mean(axis=0)
    after = concluded(ended, cases).shared["qkv#lora_b"] - ended.entered.state.shared["qkv#lora_b"]
    return float(np.linalg.norm(after - center)), max(float(np.linalg.norm(one - center)) for one in honest)


def attack(folder: Path, name: str, text: str) -> Ended:
    return attacked(folder, text, as_far_as_admitted(UPDATES[name], ADMITTED))


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "inflated cases"])
@pytest.mark.parametrize("rule", sorted(RULES))
def test_one_liar_of_seven_moves_the_result_by_less_than_the_honest_are_apart(
    rule: str, name: str, tmp_path: Path
) -> None:
    distance, apart = off(attack(tmp_path, name, ruled(rule)))
    assert distance < apart


@pytest.mark.parametrize("name", ["sign flip", "turned and scaled"])
def test_the_plain_mean_is_moved_farther(name: str, tmp_path: Path) -> None:
    """By a seventh of how far the liar is away, where nothing is cut."""
    ended = attack(tmp_path, name, seven_centers("", 'clipping = "alarm"'))
    honest = np.mean([sent(ended, other) for other in SEVEN if other != LIAR], axis=0)
    distance, apart = off(ended)
    assert distance == pytest.approx(float(np.linalg.norm(sent(ended, LIAR) - honest)) / 7, rel=1e-3)
    assert distance > apart


@pytest.mark.parametrize("rule", sorted(RULES))
def test_a_million_cases_at_registration_change_no_rule_by_more_than_the_honest_are_apart(
    rule: str, tmp_path: Path
) -> None:
    ended = attacked(tmp_path, ruled(rule), UPDATES["sign flip"])
    distance, apart = off(ended, INFLATED)
    assert distance < apart


def test_a_claim_of_cases_that_were_not_registered_is_refused(tmp_path: Path) -> None:
    ended = attacked(tmp_path, ruled("geometric-median"), UPDATES["inflated cases"])
    assert ended.record(LIAR).error == "support"


@pytest.mark.parametrize("rule", sorted(RULES))
def test_without_a_liar_every_rule_stays_among_the_honest(rule: str, tmp_path: Path) -> None:
    ended = attacked(tmp_path, ruled(rule))
    distance, apart = off(ended)
    assert distance < apart


def pushed(payload: Payload, received: Sent) -> Payload:
    """Every entry moved on by the same little, no farther than honest entries lie from what all learn."""
    push = np.float32(NOISE * ADMITTED.move)
    return replace(payload, tensors={key: array + push for key, array in payload.tensors.items()})


def test_what_no_rule_can_tell(tmp_path: Path) -> None:
    """A liar whose update is an honest one's, pushed by as much as these differ, is heard like any other."""
    text = ruled("geometric-median")
    honest, lied = (attacked(tmp_path / name, text, change) for name, change in (("h", None), ("l", pushed)))
    share = concluded(lied).history.aggregations[-1].figures[f"share/peft/{LIAR}"]
    moved = [concluded(ended).shared["qkv#lora_b"].astype(np.float64) for ended in (lied, honest)]
    assert share > 0.05
    assert np.mean(moved[0] - moved[1]) > share * NOISE * ADMITTED.move / 2
