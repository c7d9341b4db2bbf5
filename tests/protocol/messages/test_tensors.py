"""Named tensors: what a key means, and one hash and one size for many."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.errors import PayloadError
from protocol.messages.tensors import (
    TensorSpec,
    at_rank,
    content_hash,
    float32_only,
    group_in,
    is_statistic,
    module_of,
    read_specs,
    role_of,
    select,
    tensor_bytes,
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
