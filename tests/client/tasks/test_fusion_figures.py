"""What a fused volume keeps of its sources, and what is undefined."""

import numpy as np
import pytest
import torch
from torch import Tensor

from client.tasks import fusion_figures
from client.tasks.fusion_baselines import fuse_average, fuse_laplacian
from client.tasks.fusion_figures import SLICES, SMALLEST_MS_SSIM, judge_fusion
from fusion_models.clinicalfmamba.fsim import fsim
from fusion_models.clinicalfmamba.metrics import psnr
from fusion_models.clinicalfmamba.similarity import ssim
from protocol.tasks import TASKS

RNG = np.random.default_rng(1)
A, B = RNG.random((2, 12, 14, 16), dtype=np.float32)


def test_every_figure_of_the_table_is_there_and_within_its_bounds() -> None:
    found = judge_fusion(fuse_average(A, B), A, B)
    assert set(found) == {metric.name for metric in TASKS["fusion"].metrics}
    for metric in TASKS["fusion"].metrics:
        value = found[metric.name]
        assert value is None or metric.low <= value <= metric.high, metric.name
    assert {name for name, value in found.items() if value is None} == {"ms_ssim"}


def test_similarities_are_the_mean_over_both_sources_and_do_not_change_when_these_change_places() -> None:
    fused = fuse_laplacian(A, B)
    f, a, b = (torch.from_numpy(image)[None, None] for image in (fused, A, B))
    found, turned = judge_fusion(fused, A, B), judge_fusion(fused, B, A)
    assert found["ssim"] == pytest.approx(float(ssim(f, a) + ssim(f, b)) / 2)
    assert found["psnr"] == pytest.approx((psnr(f[0, 0], a[0, 0]) + psnr(f[0, 0], b[0, 0])) / 2)
    for name, value in found.items():
        assert value == pytest.approx(turned[name], abs=1e-6), name


def test_figures_of_slices_are_means_over_the_same_number_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []

    def watched(x: Tensor, y: Tensor) -> float:
        seen.append(x[0, 0].item())
        return fsim(x, y)

    monkeypatch.setattr(fusion_figures, "fsim", watched)
    deep = np.concatenate([A, B, A])
    for volume in (A, deep):
        seen.clear()
        judge_fusion(volume, volume, None)
        assert len(set(seen)) == SLICES
    shallow = A[:2]
    seen.clear()
    assert judge_fusion(shallow, shallow, None)["fsim"] == pytest.approx(1)
    assert len(set(seen)) == 2


def test_a_baseline_is_judged_like_the_network() -> None:
    found = judge_fusion(fuse_laplacian(A, B), A, B)
    assert (found["ssim_laplacian"], found["psnr_laplacian"]) == (found["ssim"], found["psnr"])
    assert found["ssim_average"] != found["ssim"]


def test_a_reconstruction_is_judged_by_its_one_source_and_no_baseline() -> None:
    found = judge_fusion(A, A, None)
    assert (found["ssim"], found["psnr"], found["fmi_pixel"]) == (1.0, None, 1.0)
    baselines = [name for name in found if name.endswith(("average", "maximum", "laplacian"))]
    assert len(baselines) == 6
    assert {found[name] for name in baselines} == {None}


def test_an_ssim_below_0_counts_as_0() -> None:
    """The negative of a finely structured image has an SSIM of about -1 with it."""
    stripes = np.indices((12, 12, 12)).sum(0).astype(np.float32) % 2
    assert judge_fusion(1 - stripes, stripes, None)["ssim"] == 0


@pytest.mark.parametrize(("shape", "undefined"), [((10, 12, 12), True), ((11, 12, 12), False)])
def test_ssim_needs_a_window_of_eleven_along_each_axis(shape: tuple[int, int, int], undefined: bool) -> None:
    image = RNG.random(shape, dtype=np.float32)
    assert (judge_fusion(image, image, None)["ssim"] is None) == undefined


def test_ms_ssim_needs_five_scales_of_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SMALLEST_MS_SSIM == 112
    for name in ("ssim", "ms_ssim_of_volumes"):
        monkeypatch.setattr(fusion_figures, name, lambda _x, _y: torch.tensor([0.25]))
    for side, expected in ((111, None), (112, 0.25)):
        f = torch.zeros(side, 112, 112)
        assert fusion_figures._similarities(f, f, f)["ms_ssim"] == expected


def test_slices_without_a_feature_are_undefined_and_too_narrow_ones_for_fmi_too() -> None:
    empty = np.zeros((12, 12, 12), np.float32)
    assert judge_fusion(empty, empty, empty)["fsim"] is None
    assert judge_fusion(A[:, :2], A[:, :2], None)["fmi_pixel"] is None
