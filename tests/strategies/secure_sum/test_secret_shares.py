"""Enough parts give a secret back, fewer do not; a box opens for its receiver alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as drawn

from protocol.errors import SecureSumError
from strategies.secure_sum.secret_shares import combine, seal, split, unseal

CENTERS = ("a", "b", "c", "d")


@settings(max_examples=20, deadline=None)
@given(secret=drawn.binary(min_size=16, max_size=16), gone=drawn.sampled_from(CENTERS))
def test_three_of_four_parts_give_it_back(secret: bytes, gone: str) -> None:
    parts = split(secret, CENTERS, 3)
    assert combine({center: part for center, part in parts.items() if center != gone}, CENTERS, 3) == secret


def test_two_parts_are_too_few() -> None:
    parts = split(b"0123456789abcdef", CENTERS, 3)
    with pytest.raises(SecureSumError, match="2 center"):
        combine({"a": parts["a"], "b": parts["b"]}, CENTERS, 3)


def test_a_part_that_was_changed_gives_another_secret() -> None:
    parts = split(b"0123456789abcdef", CENTERS, 3)
    assert combine({**parts, "a": bytes(16)}, CENTERS, 3) != b"0123456789abcdef"


def test_a_box_opens_with_its_key_alone() -> None:
    box = seal({"pairs": b"0123456789abcdef"}, b"k" * 32)
    assert unseal(seal({"short": b"s"}, b"k" * 32), b"k" * 32) == {}
    assert unseal(box, b"k" * 32) == {"pairs": b"0123456789abcdef"}
    with pytest.raises(SecureSumError, match="cannot be opened"):
        unseal(box, b"l" * 32)
    with pytest.raises(SecureSumError, match="cannot be opened"):
        unseal("00" + box[2:], b"k" * 32)
