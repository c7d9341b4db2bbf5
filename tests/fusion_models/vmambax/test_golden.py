"""The whole vMambaX at the paper's size against the official graph: one 128 x 128 pair, weights and inputs by rule."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from fusion_models.vmambax.merge import NoInteraction, PlainSum
from fusion_models.vmambax.network import VMambaX
from fusion_models.vmambax.norms import group_norm
from fusion_models.vmambax.official_names import official_name
from tests.support import vmambax_networks as networks
from tests.support.official_weights import assert_golden, inp, load_golden

SIDE = 128
WIDTHS = (96, 192, 384, 768)


@dataclass(frozen=True)
class Paper:
    """The network with its golden weights, and what its encoder makes of the golden pair."""

    network: VMambaX
    taps: dict[str, list[Tensor]]


@pytest.fixture(scope="module")
def paper() -> Paper:
    network = networks.paper(SIDE)
    load_golden(network, official_name)
    ct, pet = ((1.6 * inp(j, (1, 1, SIDE, SIDE))).expand(-1, 3, -1, -1) for j in (0, 1))
    with torch.no_grad():
        return Paper(network, network.taps(ct, pet))


def logits(network: VMambaX, taps: dict[str, list[Tensor]]) -> Tensor:
    with torch.no_grad():
        return network.decoder([fused.permute(0, 2, 3, 1) for fused in network.fuse(taps)])


@pytest.mark.parametrize(
    ("modality", "stage", "expected"),
    [
        ("ct", 0, (2.914433, 0.657734, -0.046209, 1.054766, 1.086993)),
        ("ct", 3, (0.825496, 0.125812, 1.411303, -0.086167, -0.018357)),
        ("pet", 0, (0.221522, 1.213752, -1.068844, 0.924946, 0.035704)),
        ("pet", 3, (-1.074960, -1.115787, -1.253175, -2.169343, 1.326179)),
    ],
)
def test_taps_of_the_encoder(paper: Paper, modality: str, stage: int, expected: Sequence[float]) -> None:
    assert_golden(paper.taps[modality][stage], expected)


def test_maps_gated_at_the_first_stage(paper: Paper) -> None:
    with torch.no_grad():
        ct, pet, base = paper.network.merges[0](paper.taps["ct"][0], paper.taps["pet"][0])
    assert_golden(ct, (3.942159, 0.823882, -0.062705, 1.464743, 1.245923))
    assert_golden(pet, (0.271674, 1.452089, -1.333679, 1.144149, 0.046081))
    assert torch.equal(base, ct + pet)


def test_fused_maps(paper: Paper) -> None:
    with torch.no_grad():
        fused = paper.network.fuse(paper.taps)
    assert_golden(fused[0], (2.742819, 0.856722, -2.137738, 3.228223, 3.534296))
    assert_golden(fused[1], (-0.944507, 1.603179, 1.219433, 2.850697, 1.131301))
    assert_golden(fused[2], (-2.170658, 0.452205, -0.438920, -0.563033, 1.541799))
    assert_golden(fused[3], (-0.937463, -1.926942, -0.725365, -3.134393, 2.088463))


def test_logits(paper: Paper) -> None:
    y = logits(paper.network, paper.taps)
    assert y.shape == (1, 1, SIDE, SIDE)
    assert_golden(y, (-2.591298, -2.570386, 0.162410, 1.679596, 1.193333))
    found = torch.stack([y.mean(), y.abs().mean(), y.min(), y.max()])
    expected = torch.tensor([-0.288899, 0.775410, -3.834536, 2.730432])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_logits_with_ct_and_pet_exchanged(paper: Paper) -> None:
    exchanged = {"ct": paper.taps["pet"], "pet": paper.taps["ct"]}
    assert_golden(logits(paper.network, exchanged), (-2.780915, -2.801125, 0.821662, 1.245981, 1.125696))


@pytest.mark.parametrize(
    ("without", "expected"),
    [
        (("interactions",), (-1.844689, -1.827843, 1.512333, 2.309439, 0.898343)),
        (("merges",), (-2.618120, -2.580825, 0.300842, 1.460071, 0.829791)),
        (("merges", "interactions"), (-1.878510, -1.864828, 1.206789, 2.311765, 0.583655)),
    ],
)
def test_logits_without_the_modules_of_an_ablation(
    paper: Paper, monkeypatch: pytest.MonkeyPatch, without: tuple[str, ...], expected: Sequence[float]
) -> None:
    replacements: dict[str, Callable[[int], nn.Module]] = {
        "merges": partial(PlainSum, norm=group_norm),
        "interactions": partial(NoInteraction, state=16, norm=group_norm),
    }
    for name in without:
        parts = nn.ModuleList([replacements[name](width) for width in WIDTHS])
        monkeypatch.setitem(paper.network._modules, name, parts)
    assert_golden(logits(paper.network, paper.taps), expected)
