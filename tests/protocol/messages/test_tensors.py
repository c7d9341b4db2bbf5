"""Named tensors: what a key means, and one hash and one size for many."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusion_models.adapters import routing
from protocol.errors import PayloadError
from protocol.messages.tensors import (
    BANK_ENDING,
    BANKS,
    TensorSpec,
    at_rank,
    bank_of,
    content_hash,
    float32_only,
    group_in,
    group_of,
    groups_reached,
    is_statistic,
    kind_of,
    module_of,
    read_specs,
    role_of,
    select,
    tensor_bytes,
    weight_of,
    write_specs,
)


@pytest.mark.parametrize(
    ("key", "module", "role", "statistic"),
    [
        ("blocks.0.attn.qkv#lora_a", "blocks.0.attn.qkv", "lora_a", False),
        ("blocks.0.attn.qkv#lora_b@fisher", "blocks.0.attn.qkv", "lora_b", True),
        ("blocks.0.attn.qkv@gram", "blocks.0.attn.qkv", "", True),
        ("pet_embedding.weight", "pet_embedding.weight", "", False),
    ],
)
def test_a_key_is_module_role_and_statistic(key: str, module: str, role: str, statistic: bool) -> None:
    assert (module_of(key), role_of(key), is_statistic(key)) == (module, role, statistic)


def test_the_group_is_the_roles_or_the_specs() -> None:
    groups = {"pet_embedding.weight": "pet"}
    keys = ("m#lora_a", "m#center_b@own", "m#norm_bias", "pet_embedding.weight@control")
    assert [group_in(key, groups) for key in keys] == ["peft", "center", "norm", "pet"]
    with pytest.raises(KeyError):
        group_in("stem.weight", groups)


def test_the_hash_is_of_names_shapes_and_values_in_any_order() -> None:
    one, two = np.array([[1, 2]], np.float32), np.array([3], np.float32)
    found = content_hash({"a": one, "b": two})
    assert found == content_hash({"b": two, "a": one.astype(">f4")})
    others = [{"a": one.T, "b": two}, {"a": one, "c": two}, {"a": one + 1, "b": two}]
    assert found not in {content_hash(other) for other in others}


def test_other_dtypes_are_named_and_layouts_made_one() -> None:
    wrong: Any = {"x": np.ones(2), "y": np.ones(2, np.float16), "z": np.ones(2, np.float32)}
    with pytest.raises(
        PayloadError, match=r"^tensor 'x' has dtype float64, expected float32; tensor 'y' has dtype flo"
    ):
        float32_only(wrong)
    found = float32_only({"z": np.array([[1, 2], [3, 4]], ">f4").T})["z"]
    assert (found.tolist(), found.dtype.str, found.flags.c_contiguous) == ([[1, 3], [2, 4]], "<f4", True)


def test_tensor_bytes_are_four_an_element() -> None:
    assert tensor_bytes({"a": np.ones((2, 3), np.float32), "b": np.ones(5, np.float32)}) == 44


def test_only_what_is_named_and_there_is_selected() -> None:
    tensors = {key: np.ones(1, np.float32) for key in ("b", "a", "c")}
    specs = [TensorSpec(key, "peft", (1,)) for key in ("a", "b", "d")]
    assert list(select(tensors, specs)) == ["a", "b"]


def test_specs_come_back_from_their_file(tmp_path: Path) -> None:
    specs = (TensorSpec("m#lora_a", "peft", (2, 4)), TensorSpec("w", "backbone", ()))
    write_specs(tmp_path / "tensors.json", specs)
    assert read_specs(tmp_path / "tensors.json") == specs


@pytest.mark.parametrize(
    ("key", "shape", "expected"),
    [
        ("m#lora_a", (2, 9), (5, 9)),
        ("m#lora_b", (7, 2), (7, 5)),
        ("m#magnitude", (2, 9), (2, 9)),
        ("w", (2, 9), (2, 9)),
    ],
)
def test_another_rank_changes_the_factors_alone(key: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert at_rank(TensorSpec(key, "peft", shape), 5).shape == expected
    assert at_rank(TensorSpec(key, "peft", shape), None).shape == shape


@pytest.mark.parametrize(
    ("key", "bank", "group"),
    [
        ("attn.qkv.pet_bank#lora_a", "pet", "peft.pet"),
        ("attn.qkv.fusion_bank#lora_b@fisher", "fusion", "peft.fusion"),
        ("attn.qkv.ct_bank#center_b", "ct", "center.ct"),
        ("attn.qkv.ct_bank#residual_a", "ct", "residual"),
        ("attn.qkv#lora_a", "", "peft"),
        ("river_bank#lora_a", "", "peft"),
        ("attn.pet#lora_a", "", "peft"),
    ],
)
def test_an_adapter_tensor_is_of_the_bank_that_its_module_is_named_for(key: str, bank: str, group: str) -> None:
    assert (bank_of(key), group_in(key, {}), group_of(key.partition("@")[0], {})) == (bank, group, group)


def test_a_plain_parameter_is_of_no_bank() -> None:
    assert bank_of("attn.pet_bank.weight") == ""


def test_the_banks_of_a_projection_act_beside_one_weight() -> None:
    assert weight_of("attn.qkv.pet_bank") == weight_of("attn.qkv") == "attn.qkv.weight"


def test_a_group_reaches_its_banks_as_far_as_modalities_do() -> None:
    assert groups_reached(["peft", "pet"], ["ct"]) == ("peft", "peft.ct")
    assert groups_reached(["peft"], ["pet"]) == ("peft", "peft.pet")
    assert groups_reached(["pet", "peft"], ["ct", "pet"]) == ("pet", "peft", "peft.ct", "peft.pet", "peft.fusion")
    assert [kind_of(group) for group in ("peft", "peft.pet", "center.ct")] == ["peft", "peft", "center"]


def test_network_and_protocol_know_the_same_banks() -> None:
    assert (BANKS, BANK_ENDING) == (routing.BANKS, routing.ENDING)
