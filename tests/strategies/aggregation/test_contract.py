"""What every scheme is given."""

import pytest

from protocol.messages.payload import Payload
from protocol.messages.settings import Aggregation
from strategies.aggregation.contract import Base

BASE = Base({"stem.weight": "pet"}, {}, alpha=4, rank=2, settings=Aggregation(weight_exponent=0.5))


def payload(**support: int) -> Payload:
    return Payload("hgj", "hash", "adapt", 1, {}, support)


@pytest.mark.parametrize(
    ("key", "group"), [("m#lora_a", "peft"), ("m#magnitude", "peft"), ("m#center_a", "center"), ("stem.weight", "pet")]
)
def test_roles_decide_the_group_of_an_adapter_and_the_study_that_of_the_rest(key: str, group: str) -> None:
    assert BASE.group(key) == group


def test_a_weight_is_a_power_of_the_cases_behind_the_tensor() -> None:
    """16 cases with PET, 9 behind the adapter, exponent 1/2: 4 and 3."""
    found = payload(pet=16, peft=9)
    assert [BASE.weight(found, key) for key in ("stem.weight", "m#lora_b")] == [4.0, 3.0]


def test_no_case_is_no_weight_even_with_exponent_zero() -> None:
    base = Base({"stem.weight": "pet"}, {}, alpha=4, rank=2, settings=Aggregation(weight_exponent=0))
    assert [base.weight(payload(pet=cases), "stem.weight") for cases in (0, 1, 7)] == [0.0, 1.0, 1.0]
    assert base.weight(payload(), "stem.weight") == 0.0
