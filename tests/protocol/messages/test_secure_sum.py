"""What is said in a sum travels whole, and every part of a plan is in its digest."""

from dataclasses import replace

import numpy as np
import pytest

from protocol.errors import PayloadError
from protocol.messages.reply import Reply
from protocol.messages.secure_sum import (
    AdvertisedKeys,
    Contribution,
    SumAnswer,
    SumPlan,
    keys_statement,
    state_digest,
)
from protocol.messages.text import from_text, to_text

KEYS = AdvertisedKeys("ab" * 32, "cd" * 32)
PLAN = SumPlan(
    "sts", "adapt", 3, "00" * 32, "fedit", 0.5, dict.fromkeys("abcd", KEYS), {"peft": dict.fromkeys("abcd", 1.0)}
)


@pytest.mark.parametrize(
    ("centers", "threshold"), [("abc", 3), ("abcd", 3), ("abcde", 4), ("abcdef", 5), ("abcdefg", 5)]
)
def test_more_than_two_thirds_give_a_secret_back(centers: str, threshold: int) -> None:
    assert replace(PLAN, keys=dict.fromkeys(centers, KEYS)).threshold == threshold


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "other"},
        {"server_round": 4},
        {"state": "11" * 32},
        {"scheme": "alt-exact"},
        {"exponent": 1.0},
        {"weights": {"peft": {**dict.fromkeys("abcd", 1.0), "a": 2.0}}},
        {"keys": {**PLAN.keys, "a": AdvertisedKeys("ef" * 32, "cd" * 32)}},
    ],
)
def test_another_plan_has_another_digest(change: dict[str, object]) -> None:
    assert replace(PLAN, **change).digest != PLAN.digest  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [(1, 0, "b"), (0, 1, "b"), (0, 0, "c")])
def test_a_state_is_tensors_reference_and_backbone(other: tuple[int, int, str]) -> None:
    def digest(tensors: int, reference: int, backbone: str) -> str:
        sent, compared = ({"w": np.full(2, value, np.float32)} for value in (tensors, reference))
        return state_digest(sent, compared, backbone)

    assert digest(*other) != digest(0, 0, "b") == digest(0, 0, "b")


def test_a_signature_is_no_part_of_it() -> None:
    assert replace(PLAN, keys={**PLAN.keys, "a": replace(KEYS, signature="ab")}).digest == PLAN.digest


def test_an_answer_travels_whole() -> None:
    reply = Reply("a", "unmask", secure=SumAnswer(shares={"b": {"own:peft": "ab" * 16}}))
    assert from_text(Reply, to_text(reply)) == reply


def test_a_part_of_another_length_is_refused() -> None:
    with pytest.raises(PayloadError):
        to_text(Reply("a", "unmask", secure=SumAnswer(shares={"b": {"own:peft": "ab"}})))


def test_a_contribution_names_its_sum() -> None:
    with pytest.raises(PayloadError):
        to_text(Reply("a", "train", secure=SumAnswer(contribution=Contribution("no digest"))))


def test_a_statement_tells_apart_what_it_is_about() -> None:
    assert keys_statement("sts", "adapt", 1, "a", KEYS) != keys_statement("sts", "adapt", 1, "b", KEYS)
