"""What keeps the tensors of a file from being a network's, in words."""

import torch

from fusion_models.ssm.checkpoint_differences import differences

HAS = {"a": torch.zeros(2), "b": torch.zeros(3)}


def test_equal_names_and_shapes_differ_in_nothing() -> None:
    assert differences({"b": torch.ones(3), "a": torch.ones(2)}, HAS) == ""


def test_each_kind_is_counted_and_shown() -> None:
    found = differences({"a": torch.zeros(4), "c": torch.zeros(1)}, HAS)
    assert found == "1 missing: b; 1 unknown: c; 1 of another shape: a (4,), not (2,)"


def test_of_many_the_first_three_are_shown() -> None:
    given = {name: torch.zeros(1) for name in "vwxyz"}
    assert differences(HAS | given, HAS) == "5 unknown: v, w, x, ..."
