"""What is predicted on the study's grid lies in the same place on the scan's."""

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from client.data.preprocessing import study_grid
from client.data.volume import Volume, same_grid, to_image
from client.predict.native_grid import cut, move_to_scan
from protocol.messages.settings import Preprocessing
from tests.support.drawn_mask import ORIENTATIONS

SETTINGS = Preprocessing(spacing_zyx_mm=(3.0, 4.0, 4.0), crop_zyx=(16, 16, 16))


def scan_of(orientation: tuple[float, ...], spacing_zyx_mm: tuple[float, float, float]) -> Volume:
    """An empty scan of 60 mm along each axis, with the first voxel at (-30, -20, 10) mm."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    direction = np.stack([row, column, np.cross(row, column)], axis=1).ravel()
    shape = [round(60 / step) for step in spacing_zyx_mm]
    return Volume(np.zeros(shape, np.float32), spacing_zyx_mm, (-30.0, -20.0, 10.0), tuple(direction), "ct_hu")


def centroid_xyz_mm(image: sitk.Image, weights: np.ndarray) -> np.ndarray:
    """The physical place of the weighted mean index."""
    z, y, x = (float((weights * axis).sum() / weights.sum()) for axis in np.indices(weights.shape))
    return np.array(image.TransformContinuousIndexToPhysicalPoint((x, y, z)))


@settings(max_examples=25)
@given(
    st.sampled_from(list(ORIENTATIONS.values())),
    st.tuples(st.floats(1.0, 6.0), st.floats(1.0, 5.0), st.floats(1.0, 5.0)),
    st.tuples(*[st.floats(0.35, 0.65)] * 3),
)
def test_a_blob_keeps_its_place_on_oblique_flipped_and_anisotropic_scans(
    orientation: tuple[float, ...], spacing: tuple[float, float, float], place: tuple[float, float, float]
) -> None:
    scan = scan_of(orientation, spacing)
    grid = study_grid(to_image(scan), SETTINGS.spacing_zyx_mm)
    shape = grid.GetSize()[::-1]
    distance_mm = [
        (axis - share * (size - 1)) * step
        for axis, share, size, step in zip(np.indices(shape), place, shape, SETTINGS.spacing_zyx_mm, strict=True)
    ]
    blob = np.exp(-sum(d**2 for d in distance_mm) / 200).astype(np.float32)
    mask = cut(move_to_scan(blob, scan, SETTINGS), scan)
    assert same_grid(mask, scan)
    shift_mm = centroid_xyz_mm(to_image(mask), mask.array_zyx) - centroid_xyz_mm(grid, blob >= 0.5)
    assert np.abs(shift_mm).max() < max(*spacing, *SETTINGS.spacing_zyx_mm)


def test_the_cut_is_at_one_half_of_the_probability_on_the_scan() -> None:
    """Along x the study has 1 up to 22 mm and 0 from 26 mm on: one half lies at 24 mm of the scan's 1 mm voxels."""
    scan = Volume(
        np.zeros((4, 4, 48), np.float32), (3.0, 4.0, 1.0), (0.0, 0.0, 0.5), (1, 0, 0, 0, 1, 0, 0, 0, 1), "ct_hu"
    )
    probability = np.zeros((4, 4, 12), np.float32)
    probability[..., :6] = 1
    mask = cut(move_to_scan(probability, scan, SETTINGS), scan)
    assert mask.array_zyx[1, 1].tolist() == [1] * 24 + [0] * 24


def test_a_probability_of_another_grid_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(15, 15, 20\)"):
        move_to_scan(np.zeros((2, 2, 2), np.float32), scan_of(ORIENTATIONS["axial"], (2.0, 2.0, 2.0)), SETTINGS)
