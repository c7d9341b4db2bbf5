"""What updates of a round weigh under a robust rule."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.errors import QuorumError
from protocol.messages.payload import Payload
from protocol.messages.settings import Aggregation, Robust
from protocol.messages.tensors import PEFT, PET
from server.rounds.robustness import Weighed, largest_share, weigh_updates
from strategies.aggregation.contract import Base
from strategies.robust.trimmed_mean import TrimmedMean
from tests.support.seven_centers import attacked, concluded, seven_centers

STEM = "pet_embedding.weight"
SHARED: dict[str, NDArray[np.float32]] = {
    "qkv#lora_a": np.ones((1, 1), np.float32),
    "qkv#lora_b": np.zeros((1, 1), np.float32),
    STEM: np.zeros(2, np.float32),
}


def weighed(robust: Robust, values: dict[str, float], pet: str = "", cases: dict[str, float] | None = None) -> Weighed:
    """Centers that moved B from 0 to their value, some of which trained PET as well."""
    payloads = []
    for center, value in values.items():
        tensors: dict[str, NDArray[np.float32]] = {"qkv#lora_b": np.full((1, 1), value, np.float32)}
        if center in pet:
            tensors[STEM] = np.full(2, value, np.float32)
        payloads.append(Payload(center, "", "adapt", 1, tensors, {PEFT: 1, PET: int(center in pet)}))
    weights = {PEFT: cases or dict.fromkeys(values, 1.0), PET: dict.fromkeys(pet, 1.0)}
    base = Base({STEM: PET}, {}, 1.0, 1, Aggregation(), ("lora_b", "magnitude"), weights=weights)
    return weigh_updates(SHARED, lambda: payloads, base, robust)


FIVE = dict(zip("abcde", (0.0, 1.0, 2.0, 3.0, 100.0), strict=True))


def test_a_rules_weights_take_the_place_of_shares_and_are_logged() -> None:
    found = weighed(Robust(rule="multi-krum"), FIVE)
    assert found.base.weights[PEFT] == {"a": 0, "b": 0.5, "c": 0.5, "d": 0, "e": 0}
    assert found.figures == {f"share/peft/{center}": share for center, share in found.base.weights[PEFT].items()}


def test_no_center_has_more_before_a_rule_looks_than_liars_may_have() -> None:
    """With one liar a third: of five, b claims almost all, and counts like one and a half of the others."""
    claims = {**dict.fromkeys(FIVE, 1.0), "b": 1e6}
    assert weighed(Robust(rule="trimmed-mean"), FIVE, cases=claims).base.weights[PEFT]["b"] == pytest.approx(1 / 3)
    assert [largest_share(liars) for liars in (1, 2)] == [1 / 3, 1 / 5]


def test_a_group_that_too_few_have_cases_for_stands_still() -> None:
    found = weighed(Robust(rule="multi-krum"), FIVE, pet="abc")
    assert found.base.weights[PET] == {}
    assert found.base.weights[PEFT]["b"] == 0.5


@pytest.mark.parametrize("rule", ["multi-krum", "geometric-median", "trimmed-mean"])
def test_a_smaller_round_is_refused_by_name(rule: str) -> None:
    two = {"a": 0.0, "b": 1.0}
    with pytest.raises(QuorumError, match=rf"'{rule}' with 1 liar\(s\) needs the updates of [35] centers, and 2 came"):
        weighed(Robust(rule=rule), two)


def test_a_round_without_the_reference_is_refused() -> None:
    with pytest.raises(QuorumError, match="against those of center 'z', which sent none"):
        weighed(Robust(rule="fltrust", reference="z"), FIVE)


def test_what_the_reference_has_no_case_for_stands_still() -> None:
    found = weighed(Robust(rule="fltrust", reference="d"), FIVE, pet="abc")
    assert found.base.weights[PET] == {}


def test_updates_are_made_as_long_as_the_reference() -> None:
    found = weighed(Robust(rule="fltrust", reference="b"), {"b": 1.0, "c": 2.0, "d": -4.0})
    assert found.lengths == {"c": {PEFT: 0.5}, "d": {PEFT: 0.25}}
    assert found.base.weights[PEFT] == {"b": 0.5, "c": 0.5, "d": 0}


def test_a_trimmed_mean_takes_the_place_of_the_mean() -> None:
    average = weighed(Robust(rule="trimmed-mean"), FIVE).base.average()
    assert isinstance(average, TrimmedMean)


def test_lengths_reach_the_arithmetic_and_shares_the_history(tmp_path: Path) -> None:
    ended = attacked(tmp_path, seven_centers('rule = "fltrust", reference = "a"'))
    after = concluded(ended)
    start, reference = (
        ended.entered.state.shared["qkv#lora_b"],
        ended.inbox.read("a", "adapt", 1).tensors["qkv#lora_b"],
    )
    moved, own = (np.linalg.norm(array - start) for array in (after.shared["qkv#lora_b"], reference))
    assert 0.8 * own < moved <= own * 1.001
    figures = after.history.aggregations[-1].figures
    assert {name for name in figures if name.startswith("share/peft/")} == {f"share/peft/{name}" for name in "abcdefg"}


def test_without_a_rule_the_mean_is_plain(tmp_path: Path) -> None:
    ended = attacked(tmp_path, seven_centers())
    after = concluded(ended)
    sent = [ended.inbox.read(name, "adapt", 1).tensors["qkv#lora_b"].astype(float) for name in "abcdefg"]
    np.testing.assert_allclose(after.shared["qkv#lora_b"], np.mean(sent, axis=0), rtol=1e-5)
    assert not any(name.startswith("share/") for name in after.history.aggregations[-1].figures)


def test_a_round_of_a_study_that_came_out_smaller_is_refused(tmp_path: Path) -> None:
    ended = attacked(tmp_path, seven_centers('rule = "multi-krum", liars = 2'))
    fewer = tuple(replace(record, error="cases") if record.center in "ab" else record for record in ended.records)
    with pytest.raises(QuorumError, match="needs the updates of 7 centers, and 5 came"):
        concluded(replace(ended, records=fewer))
