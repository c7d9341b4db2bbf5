"""Slices of one case as a picture: what is drawn, where, and in which colour."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from client.data.volume import IDENTITY
from client.report.pictures import PREDICTED, TRUE, Prediction, case_png, orient, read_prediction, slices_zyx
from protocol.errors import CaseError
from tests.support.predicted_case import CT, GUESS, LESION, PET, SHAPE, SPACING, prediction


@pytest.mark.parametrize("missing", ["ct", "pet", "truth"])
def test_both_contours_are_drawn_in_their_colours_wherever_they_exist(missing: str):
    pixels = rgb(case_png(prediction(**{missing: None})))
    assert (near(pixels, TRUE) > 30) == (missing != "truth")
    assert near(pixels, PREDICTED) > 30


def test_an_empty_prediction_draws_the_true_contour_alone():
    drawn, empty = (rgb(case_png(prediction(predicted=mask))) for mask in (GUESS, np.zeros_like(GUESS)))
    assert near(empty, TRUE) > 30
    assert near(empty, PREDICTED) < near(drawn, PREDICTED) / 2


def test_a_second_image_adds_a_second_row_of_slices():
    one, two = rgb(case_png(prediction(pet=None))), rgb(case_png(prediction()))
    assert two.shape[1] == one.shape[1]
    assert two.shape[0] > 1.7 * one.shape[0]


@pytest.mark.parametrize("ct", [CT, None])
def test_uptake_is_drawn_hot_with_and_without_a_ct(ct: np.ndarray | None):
    cold, hot = (rgb(case_png(prediction(ct=ct, pet=pet)))[:, :700] for pet in (PET * 0, PET))
    assert red(cold) == 0
    assert red(hot) > 1000


def test_a_sphere_in_mm_is_drawn_round_on_an_anisotropic_grid():
    z, y, x = (np.arange(count) * step for count, step in zip((20, 40, 40), (4.0, 2.0, 1.0), strict=True))
    sphere = ((z[:, None, None] - 38) ** 2 + (y[:, None] - 39) ** 2 + (x - 20) ** 2 <= 15**2).astype(np.uint8)
    black = np.full(sphere.shape, -1000.0, dtype=np.float32)
    picture = Prediction("s", black, None, sphere, np.zeros_like(sphere), (4.0, 2.0, 1.0), "ct")
    drawn = distance(rgb(case_png(picture)), TRUE) < 60
    drawn[:40] = False
    columns = np.flatnonzero(drawn.any(axis=0))
    first = drawn[:, columns[0] : columns[np.flatnonzero(np.diff(columns) > 20)[0]] + 1] if len(columns) else drawn
    rows = np.flatnonzero(first.any(axis=1))
    assert (rows[-1] - rows[0]) / first.shape[1] == pytest.approx(1, abs=0.15)


def test_slices_go_through_the_largest_extent_of_the_truth():
    assert slices_zyx(LESION) == (7, 11, 14)
    assert slices_zyx(np.zeros(SHAPE)) == (6, 10, 12)
    assert prediction(truth=np.zeros_like(LESION)).reference is GUESS


def test_volume_counts_voxels_of_24_cubic_millimetres():
    assert prediction().millilitres(np.ones((1, 5, 10))) == pytest.approx(1.2)


def test_axes_that_run_to_the_right_are_turned_and_oblique_ones_left_alone():
    turned = orient(prediction(), (-1, 0, 0, 0, 1, 0, 0, 0, 1))
    assert turned.oriented
    assert turned.ct is not None
    np.testing.assert_array_equal(turned.ct, CT[:, :, ::-1])
    np.testing.assert_array_equal(turned.predicted, GUESS[:, :, ::-1])
    assert orient(prediction(), IDENTITY).oriented
    assert not orient(prediction(), (0, 1, 0, 1, 0, 0, 0, 0, 1)).oriented


def test_a_prediction_on_two_grids_is_refused(tmp_path: Path):
    facts: dict[str, Any] = {"spacing_zyx_mm": np.asarray(SPACING), "modalities": np.asarray("ct"), "predicted": GUESS}
    np.savez_compressed(tmp_path / "a.npz", ct=CT[1:], gtv=LESION, **facts)
    with pytest.raises(CaseError, match="on one grid"):
        read_prediction(tmp_path / "a.npz")


def rgb(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=float)


def distance(pixels: np.ndarray, colour: str) -> np.ndarray:
    return np.linalg.norm(pixels - 255 * np.asarray(to_rgb(colour)), axis=-1)


def red(pixels: np.ndarray) -> int:
    """Pixels of strong uptake: much red, little blue."""
    return int(((pixels[..., 0] > 180) & (pixels[..., 2] < 60)).sum())


def near(pixels: np.ndarray, colour: str) -> int:
    """Pixels of a contour's colour in the panels, below the legend."""
    return int((distance(pixels[40:], colour) < 60).sum())
