"""The synthetic anatomy: a task that takes both modalities."""

import numpy as np
import pytest

from client.data.phantom import PLAIN, Ellipsoid, Overlap, Points, draw_phantom, rasterise


def test_each_modality_shows_a_part_of_the_tumour_that_the_other_does_not():
    phantom = draw_phantom(np.random.default_rng(5))
    x, y, z = np.meshgrid(*[np.arange(-70, 70, 2, dtype=np.float32)] * 3, indexing="ij", sparse=True)
    maps = rasterise(phantom, Points(z, y, x))
    hot = maps.tumour & np.isclose(maps.suv, phantom.tumour.hot_suv)
    dull = maps.tumour & np.isclose(maps.hu, phantom.tumour.dull_hu)
    muscle = phantom.below[1]
    assert maps.hu[hot] == pytest.approx(muscle.hu)
    assert maps.suv[dull].max() < muscle.suv + 0.8
    assert min(hot.sum(), dull.sum()) > 0.15 * maps.tumour.sum()


def test_bone_shows_in_the_ct_alone_and_uptake_in_the_pet_alone() -> None:
    """Ribs and spine are 200 HU above muscle and within SUV 1 of it; the tumour's hot part is the other way round."""
    phantom = draw_phantom(np.random.default_rng(5))
    muscle = phantom.below[1]
    bones = [tissue for tissue in phantom.above if tissue.name in {"ribs", "spine"}]
    assert len(bones) == 2
    assert min(bone.hu for bone in bones) > muscle.hu + 190
    assert max(abs(bone.suv - muscle.suv) for bone in bones) < 1
    assert phantom.tumour.hot_hu == muscle.hu
    assert phantom.tumour.hot_suv > muscle.suv + 2.5


def test_an_ellipsoid_ends_at_its_radii() -> None:
    """Radii 2, 1, 1 along x, y, z; turned by a quarter the long axis lies along y."""
    line = np.array([0, 1, 2, 3], np.float32)
    zero = np.zeros(1, np.float32)
    shape = Ellipsoid((0, 0, 0), (2, 1, 1))
    assert shape.inside(Points(line, zero, zero)).tolist() == [True, True, True, False]
    assert shape.inside(Points(zero, line, zero)).tolist() == [True, True, False, False]
    turned = Ellipsoid((0, 0, 0), (2, 1, 1), turn_rad=np.pi / 2)
    assert turned.inside(Points(zero, line - np.float32(1e-3), zero)).tolist() == [True, True, True, False]


def test_what_two_shapes_share_is_in_both() -> None:
    line, zero = np.array([0, 1, 2, 3], np.float32), np.zeros(1, np.float32)
    left, right = Ellipsoid((0, 0, 0), (2, 2, 2)), Ellipsoid((3, 0, 0), (2, 2, 2))
    assert Overlap(left, right).inside(Points(line, zero, zero)).tolist() == [False, True, True, False]


def test_a_plain_anatomy_draws_no_bowel_and_wastes_muscle() -> None:
    drawn = [draw_phantom(np.random.default_rng(seed), PLAIN) for seed in range(30)]
    assert not {"bowel"} & {tissue.name for phantom in drawn for tissue in phantom.below}
    walls = [phantom.wall.radii_mm[0] / 66 for phantom in drawn]
    assert 0.99 * 0.75 <= min(walls) < 0.8
    assert 1 < max(walls) <= 1.01 * 1.05
    assert max(phantom.tumour.hot_suv for phantom in drawn) > 9


def test_the_muscle_of_usual_patients_goes_with_their_size() -> None:
    drawn = [draw_phantom(np.random.default_rng(seed)) for seed in range(5)]
    for phantom in drawn:
        skin = phantom.below[0].shape
        assert isinstance(skin, Ellipsoid)
        assert phantom.wall.radii_mm[0] / skin.radii_mm[0] == pytest.approx(66 / 74)
