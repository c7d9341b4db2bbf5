"""From a scan to its fused image, and what is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from client.data.volume import Volume, same_grid
from client.predict.contract import Answering
from client.predict.fused import ScanFuser, check_sources
from fusion_models.registry import model_row
from protocol.errors import CaseError
from tests.support.drawn_mask import ALGORITHM
from tests.support.fused_scan import STUDY, fused_scan, fuser
from tests.support.mixing_network import Mixture
from tests.support.predicted_scan import FACTS, SETTINGS, made_scan


def test_the_fused_image_lies_on_the_grid_of_the_ct(tmp_path: Path) -> None:
    """Body 0.25 and 0.1, tumour 0.75 and 0.8 of the windows: their means are 0.175 and 0.775, less some smoothing."""
    fused, made = fused_scan(tmp_path)
    assert made.scan.ct is not None
    assert same_grid(fused.image, made.scan.ct)
    inside = fused.image.array_zyx[made.tumour.array_zyx > 0]
    assert np.median(inside) == pytest.approx(0.775, abs=0.04)
    assert fused.fused_zyx.shape == fused.case.ct.shape  # type: ignore[union-attr]  # it has a CT
    assert (fused.setting, fused.answering.algorithm) == ("ct+pet", ALGORITHM)
    assert 0 <= fused.image.array_zyx.min() < fused.image.array_zyx.max() <= 1


def test_ct_alone_is_reconstructed_and_the_missing_pet_is_told(tmp_path: Path) -> None:
    scan = replace(made_scan(tmp_path).scan, pet=None, pet_headers=())
    found = fuser().fuse(scan)
    assert found.setting == "ct"
    np.testing.assert_allclose(found.fused_zyx, found.case.ct, atol=1e-6)  # type: ignore[arg-type]  # it has a CT
    assert "missing-modality" in {issue.code for issue in found.issues}


def test_pet_alone_and_a_setting_that_is_not_there_are_refused(tmp_path: Path) -> None:
    scan = made_scan(tmp_path).scan
    alone = replace(scan, ct=None, ct_headers=())
    with pytest.raises(CaseError, match=r"has pet; model 'clinicalfmamba-3d-tiny' fuses \['ct', 'ct\+pet'\]; give the"):
        fuser().fuse(alone)
    with pytest.raises(CaseError, match=r"has ct; model .* asked was 'ct\+pet'; give the missing images"):
        fuser("ct+pet").fuse(replace(scan, pet=None, pet_headers=()))
    with pytest.raises(CaseError, match="has no image; model"):
        fuser().fuse(replace(scan, ct=None, pet=None, ct_headers=(), pet_headers=()))


def test_an_image_that_is_the_same_everywhere_is_refused_by_name_and_window(tmp_path: Path) -> None:
    scan = made_scan(tmp_path).scan
    assert scan.pet is not None
    cold = replace(scan, pet=replace(scan.pet, array_zyx=scan.pet.array_zyx * 0))
    with pytest.raises(
        CaseError, match=r"its PET is 0 everywhere in the window from 0 to 10 SUV, expected an image with"
    ):
        fuser().fuse(cold)
    assert fuser("ct").fuse(cold).setting == "ct"


def test_values_that_a_window_cannot_have_are_refused(tmp_path: Path) -> None:
    case = fused_scan(tmp_path)[0].case
    assert case.ct is not None
    broken = replace(case, ct=case.ct * np.float32("nan"))
    with pytest.raises(CaseError, match="its CT is values from nan to nan in the window from 0 to 80 HU"):
        check_sources(broken, "ct", STUDY)


def test_a_bank_of_another_task_is_refused() -> None:
    with pytest.raises(
        CaseError, match=r"for \['segmentation'\], expected a model for fusion; give the bank of a study"
    ):
        ScanFuser(SETTINGS, model_row("pemma-unetr-tiny"), lambda _case: Answering(Mixture(), ALGORITHM, FACTS))


def test_a_pet_on_a_grid_of_its_own_is_brought_to_the_ct(tmp_path: Path) -> None:
    """Twice as coarse: the tumour is still where it was."""
    made = made_scan(tmp_path)
    pet = made.scan.pet
    assert pet is not None
    z_mm, y_mm, x_mm = pet.spacing_zyx_mm
    x, y, z = pet.origin_xyz_mm
    origin = (x + x_mm / 2, y + y_mm / 2, z)
    coarse = Volume(pet.array_zyx[:, ::2, ::2], (z_mm, 2 * y_mm, 2 * x_mm), origin, pet.direction, "pet_suv")
    fused = fuser().fuse(replace(made.scan, pet=coarse))
    inside = fused.image.array_zyx[made.tumour.array_zyx > 0]
    assert np.median(inside) > 0.6
