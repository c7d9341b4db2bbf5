"""Two centers agree on a key that a third has not, and a stream has no pattern that a short one would show."""

import numpy as np
import pytest

from protocol.errors import SecureSumError
from strategies.secure_sum.keys import common_key, derive, draw_secret, public_key, stream


def test_both_sides_have_the_same_key_and_a_third_another() -> None:
    first, second, third = draw_secret(), draw_secret(), draw_secret()
    agreed = common_key(first, public_key(second), "pair")
    assert agreed == common_key(second, public_key(first), "pair")
    assert agreed != common_key(third, public_key(first), "pair")
    assert agreed != common_key(first, public_key(second), "box")


def test_purposes_do_not_run_into_each_other() -> None:
    assert derive(b"s" * 16, "ab", "c") != derive(b"s" * 16, "a", "bc")


@pytest.mark.parametrize("public", ["00" * 32, "01" + "00" * 31])
def test_a_public_key_with_which_everybody_agrees_on_the_same_is_refused(public: str) -> None:
    with pytest.raises(SecureSumError):
        common_key(draw_secret(), public, "pair")


def test_a_stream_repeats_for_its_key_and_fills_48_bits() -> None:
    words = stream(b"k" * 32, 4000)
    assert np.array_equal(words, stream(b"k" * 32, 4000))
    assert words.max() < 2**48
    assert words.mean() == pytest.approx(2.0**47, rel=0.05)
    assert not np.array_equal(words, stream(b"l" * 32, 4000))
