"""The sum of the centers' rows is the mean that the scheme would have made of their payloads."""

from dataclasses import replace

import numpy as np
import pytest

from client.masking.contribution import contribute, weight_of
from protocol.errors import SecureSumError
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.secure_sum import SumPlan
from protocol.messages.settings import Adapter, Model, Role, StudySettings, Training
from protocol.messages.tensors import PEFT, TensorSpec
from strategies.aggregation.contract import Base
from strategies.aggregation.schemes import SCHEMES
from strategies.secure_sum.layout import LOSS, layout_of, mean_of

RNG = np.random.default_rng(3)
SPECS = (
    TensorSpec("q#lora_a", PEFT, (2, 4)),
    TensorSpec("q#lora_b", PEFT, (5, 2)),
    TensorSpec("q#magnitude", PEFT, (5,)),
)
FROZEN = {"q.weight": RNG.normal(size=(5, 4)).astype(np.float32)}
SHARED = {spec.key: (1 + RNG.random(spec.shape)).astype(np.float32) for spec in SPECS}
CASES = {"a": 4, "b": 9, "c": 16}
SETTINGS = StudySettings(study="s", seed=1, model=Model(name="none"), adapter=Adapter(method="dora", rank=2, alpha=4))
ROLES: dict[str, tuple[Role, ...]] = {
    "alt-exact": ("lora_b", "magnitude"),
    "fedit": ("lora_a", "lora_b", "magnitude"),
    "ffa-lora": ("lora_b", "magnitude"),
    "rolora": ("lora_a",),
}


def plan_of(scheme: str, weights: dict[str, float]) -> SumPlan:
    return SumPlan("s", "adapt", 1, "00" * 32, scheme, 0.5, {}, {PEFT: weights, LOSS: dict.fromkeys(CASES, 1.0)})


def payloads(roles: tuple[Role, ...]) -> list[Payload]:
    """Three centers, of which each moved what trains in its own way."""
    keys = [spec.key for spec in SPECS if spec.key.partition("#")[2] in roles]
    moved = {name: {key: SHARED[key] * np.float32(1 + cases / 100) for key in keys} for name, cases in CASES.items()}
    for name, cases in CASES.items():
        moved[name][keys[0]] = moved[name][keys[0]] + np.float32(cases) * np.eye(
            *SHARED[keys[0]].shape, dtype=np.float32
        )
    return [Payload(name, "", "adapt", 1, moved[name], {PEFT: cases}) for name, cases in CASES.items()]


@pytest.mark.parametrize("scheme", sorted(ROLES))
def test_the_sum_gives_the_mean_of_the_scheme(scheme: str) -> None:
    """With weights sqrt(n) of 2, 3 and 4, in DoRA's row gains where the scheme averages those."""
    roles = ROLES[scheme]
    training = Training(groups=("peft",), roles=roles, local_steps=1, learning_rate=1, modality_shares={"ct": 1.0})
    asked, layout = (
        Instruction("train", SETTINGS, "adapt", 1, training=training, tensors=SHARED),
        layout_of(SPECS, training),
    )
    plan = plan_of(scheme, {"a": 2.0, "b": 3.0, "c": 4.0})
    found = [contribute(sent, 0.5, asked, plan, layout, FROZEN) for sent in payloads(roles)]
    mean = mean_of(np.sum([rows.rows[PEFT] for rows in found], axis=0), layout[PEFT])
    base = Base({spec.key: PEFT for spec in SPECS}, FROZEN, 4, 2, roles=roles)
    row = SCHEMES[scheme]
    assert row.summed is not None
    wire = row.summed(SHARED, base).decode(mean.coordinates)
    summed = Payload(
        "(sum)", "", "adapt", 1, {key: wire[key].astype(np.float32) for key in mean.coordinates}, {PEFT: 29}
    )
    expected = row.aggregate(SHARED, payloads(roles), base, {}).shared
    reached = row.aggregate(SHARED, [summed], base, {}).shared
    assert mean.cases == 29
    assert {key: np.abs(reached[key] - array).max() < 2e-6 for key, array in expected.items()} == dict.fromkeys(
        SHARED, True
    )


def test_a_center_weighs_at_most_what_was_agreed() -> None:
    """min(sqrt(16), 3) / 6."""
    sent = payloads(("lora_a",))[2]
    assert weight_of(sent, PEFT, plan_of("fedit", {"a": 6.0, "b": 6.0, "c": 3.0})) == 0.5


@pytest.mark.parametrize(
    ("exponent", "weights", "behind"),
    [
        (0.5, {"a": 4.0, "b": 4.0, "c": 4.0}, "abc"),
        (0.5, {"a": 4.1, "b": 4.0, "c": 4.0}, "bc"),
        (6.5, dict.fromkeys(CASES, 1e12), ""),
        (6.5, dict.fromkeys(CASES, 16**6.5), "c"),
    ],
)
def test_a_center_far_below_its_agreed_weight_stays_out(
    exponent: float, weights: dict[str, float], behind: str
) -> None:
    """2, 3 and 4 of 4; with flat weights out of reach and an exponent of 6.5 one would have 0.98 of the sum."""
    roles = ROLES["rolora"]
    training = Training(groups=("peft",), roles=roles, local_steps=1, learning_rate=1, modality_shares={"ct": 1.0})
    asked = Instruction("train", SETTINGS, "adapt", 1, training=training, tensors=SHARED)
    plan, layout = replace(plan_of("rolora", weights), exponent=exponent), layout_of(SPECS, training)
    found = {sent.center: contribute(sent, None, asked, plan, layout, FROZEN) for sent in payloads(roles)}
    assert "".join(center for center, rows in found.items() if PEFT in rows.groups) == behind
    assert {center for center, rows in found.items() if rows.rows[PEFT].any()} == set(behind)


def test_a_center_that_the_plan_does_not_count_has_nothing_to_say() -> None:
    with pytest.raises(SecureSumError, match="counts"):
        weight_of(payloads(("lora_a",))[2], PEFT, plan_of("fedit", {"a": 6.0, "b": 6.0}))


@pytest.mark.parametrize("scheme", ["product-exact", "unheard-of"])
def test_a_scheme_that_needs_single_payloads_is_not_summed(scheme: str) -> None:
    training = Training(groups=("peft",), local_steps=1, learning_rate=1, modality_shares={"ct": 1.0})
    asked, layout = (
        Instruction("train", SETTINGS, "adapt", 1, training=training, tensors=SHARED),
        layout_of(SPECS, training),
    )
    plan = plan_of(scheme, dict.fromkeys(CASES, 1.0))
    with pytest.raises(SecureSumError, match="needs sums alone"):
        contribute(payloads(("lora_a",))[0], None, asked, plan, layout, FROZEN)


def test_a_center_without_cases_adds_zeros() -> None:
    training = Training(groups=("peft",), local_steps=1, learning_rate=1, modality_shares={"ct": 1.0})
    asked, layout = (
        Instruction("train", SETTINGS, "adapt", 1, training=training, tensors=SHARED),
        layout_of(SPECS, training),
    )
    without = replace(payloads(("lora_a",))[0], tensors={}, support={})
    found = contribute(without, None, asked, plan_of("fedit", dict.fromkeys(CASES, 1.0)), layout, FROZEN)
    assert found.groups == ()
    assert not any(row.any() for row in found.rows.values())
