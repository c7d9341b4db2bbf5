"""Misalignment: uniform on each axis up to what is asked."""

import numpy as np

from client.augmentation.misalignment import draw_shift_mm


def test_shifts_fill_what_is_asked_on_each_axis() -> None:
    rng = np.random.default_rng(0)
    drawn = np.abs([draw_shift_mm(4.0, rng) for _ in range(300)])
    assert drawn.max() <= 4
    assert (drawn.max(axis=0) > 3.9).all()
    assert not any(draw_shift_mm(0.0, rng))
