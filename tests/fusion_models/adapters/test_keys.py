"""The key under which a parameter travels."""

import pytest

from fusion_models.adapters.keys import NORM_ROLES, PEFT_ROLES, is_inside, key_of
from protocol.messages.tensors import ROLE_GROUPS


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a.qkv.lora_A.default.weight", "a.qkv#lora_a"),
        ("a.qkv.lora_B.center.weight", "a.qkv#center_b"),
        ("a.qkv.lora_magnitude_vector.default.weight", "a.qkv#magnitude"),
        ("a.qkv.base_layer.bias", "a.qkv.bias"),
        ("a.norm1.norm_bias", "a.norm1#norm_bias"),
        ("a.norm1.base_layer.weight", "a.norm1.weight"),
    ],
)
def test_a_parameter_travels_under_its_key(name: str, key: str) -> None:
    assert key_of(name) == key


def test_every_role_that_a_name_can_give_has_a_group() -> None:
    assert {*PEFT_ROLES.values(), *NORM_ROLES} == set(ROLE_GROUPS)


@pytest.mark.parametrize(
    ("name", "inside"), [("pet_stem", True), ("pet_stem.0.weight", True), ("pet_stems", False), ("ct.pet_stem", False)]
)
def test_a_prefix_ends_where_a_module_s_name_does(name: str, inside: bool) -> None:
    assert is_inside(name, ("other", "pet_stem")) is inside
