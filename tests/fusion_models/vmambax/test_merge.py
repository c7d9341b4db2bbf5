"""The table of merges and interactions: one contract, and what each adds up to."""

import pytest
import torch
from torch import Tensor, nn

from fusion_models.vmambax.merge import INTERACTIONS, MERGES, Concatenation, GatedSum, WeakenedSum
from fusion_models.vmambax.norms import group_norm
from tests.support.model_measures import weights_of

WIDTH = 16
ROWS = pytest.mark.parametrize("name", sorted(MERGES))


def maps() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, WIDTH, 4, 8, generator=generator), torch.randn(2, WIDTH, 4, 8, generator=generator)


@ROWS
@pytest.mark.parametrize("interaction", sorted(INTERACTIONS))
def test_every_merge_goes_with_every_interaction(name: str, interaction: str) -> None:
    merge = MERGES[name](WIDTH, norm=group_norm)
    ct, pet, base = merge(*maps())
    fused = base + INTERACTIONS[interaction](WIDTH, state=2, norm=group_norm)(ct, pet)
    assert ct.shape == pet.shape == fused.shape == (2, WIDTH, 4, 8)
    assert torch.isfinite(fused).all()


@pytest.mark.parametrize("name", ["sum", "concat"])
def test_only_gates_change_what_the_interaction_sees(name: str) -> None:
    ct, pet = maps()
    merged = MERGES[name](WIDTH, norm=group_norm)(ct, pet)
    assert merged[0] is ct
    assert merged[1] is pet


def test_the_interaction_sees_gated_maps_and_their_sum_is_the_base() -> None:
    merge = GatedSum(WIDTH, norm=group_norm)
    ct, pet, base = merge(*maps())
    assert all(torch.equal(found, gated) for found, gated in zip((ct, pet), merge.cgm(*maps()), strict=True))
    assert torch.equal(base, ct + pet)


@pytest.mark.parametrize(("kind", "factor"), [(GatedSum, 1.5), (WeakenedSum, 0.5)])
def test_half_open_gates_with_and_without_residual(kind: type[GatedSum], factor: float) -> None:
    merge, (ct, pet) = kind(WIDTH, norm=group_norm), maps()
    for gate in (merge.cgm.ct_gate, merge.cgm.pet_gate):
        nn.init.constant_(gate.get_parameter("channel.3.bias"), 40)
        nn.init.zeros_(gate.spatial.weight)
    torch.testing.assert_close(merge(ct, pet)[2], factor * (ct + pet))


def test_the_plain_sum_is_the_sum() -> None:
    ct, pet = maps()
    assert torch.equal(MERGES["sum"](WIDTH, norm=group_norm)(ct, pet)[2], ct + pet)


def test_concatenation_reads_ct_first() -> None:
    """With the 1x1 weights (1 | 2) on the diagonals and no bias the base is CT + 2 PET."""
    merge, (ct, pet) = Concatenation(WIDTH, norm=group_norm), maps()
    eye = torch.eye(WIDTH)
    merge.mix.weight.data = torch.cat([eye, 2 * eye], dim=1)[..., None, None]
    nn.init.zeros_(merge.get_parameter("mix.bias"))
    torch.testing.assert_close(merge(ct, pet)[2], ct + 2 * pet)


def test_no_interaction_adds_exactly_nothing() -> None:
    ct, pet = maps()
    assert not INTERACTIONS["none"](WIDTH, state=2, norm=group_norm)(ct, pet).any()


@pytest.mark.parametrize(
    ("part", "count"),
    [
        (MERGES["sum"](96, norm=group_norm), 0),
        (MERGES["concat"](96, norm=group_norm), 2 * 96**2 + 96),
        (INTERACTIONS["none"](96, state=2, norm=group_norm), 0),
    ],
)
def test_what_an_ablation_leaves_to_learn(part: nn.Module, count: int) -> None:
    assert weights_of(part) == count
