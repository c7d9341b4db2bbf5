"""The fusion block: ledger, identities of the paper's equations, and what position means to it."""

import pytest
import torch
from torch import Tensor, nn

from fusion_models.gates import Gain
from fusion_models.multistage.fusion import ACTIVATIONS, FUSIONS, ConcatFusion, ProductFusion
from fusion_models.multistage.norms import NORMS
from tests.support.model_measures import weights_of

WIDTH = 4
EVERY = pytest.mark.parametrize("name", sorted(FUSIONS))


def made(name: str = "product", *, activation: str = "none", pet_reach: int = 1, width: int = WIDTH) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return FUSIONS[name](width, norm=NORMS["batch"], activation=activation, pet_reach=pet_reach)


def product(*, activation: str = "none", pet_reach: int = 1) -> ProductFusion:
    fusion = made(activation=activation, pet_reach=pet_reach)
    assert isinstance(fusion, ProductFusion)
    return fusion


def maps(cases: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(cases, WIDTH, 4, 6, 5, generator=generator), torch.randn(
        cases, WIDTH, 4, 6, 5, generator=generator
    )


@pytest.mark.parametrize(("width", "parameters"), [(16, 38), (32, 70), (64, 134), (128, 262)])
def test_a_product_has_the_published_number_of_parameters(width: int, parameters: int) -> None:
    assert weights_of(made(width=width)) == parameters


def test_a_sum_has_as_many_parameters_as_a_product() -> None:
    assert weights_of(made("sum", width=16)) == 38


def test_concatenation_mixes_all_channels() -> None:
    assert weights_of(made("concat", width=16)) == 16 * 33 + 32


@EVERY
def test_both_streams_get_the_same_term(name: str) -> None:
    (ct, pet), fusion = maps(), made(name)
    new_ct, new_pet = fusion(ct, pet)
    torch.testing.assert_close(new_ct - ct, new_pet - pet, atol=1e-6, rtol=0)
    assert (new_ct - ct).abs().max() > 0.1


@EVERY
def test_a_gain_weighs_the_term_by_the_channel(name: str) -> None:
    (ct, pet), fusion, gain = maps(), made(name), Gain(WIDTH, 0.0)
    with torch.no_grad():
        gain.gain[0] = 0.5
    new_ct, whole_ct = fusion(ct, pet, gain)[0], fusion(ct, pet)[0]
    torch.testing.assert_close(new_ct[:, 0] - ct[:, 0], (whole_ct[:, 0] - ct[:, 0]) / 2, atol=1e-6, rtol=0)
    assert torch.equal(new_ct[:, 1:], ct[:, 1:])


@pytest.mark.parametrize("name", ["product", "sum"])
def test_the_term_is_the_same_for_every_channel(name: str) -> None:
    (ct, pet), fusion = maps(), made(name)
    term = fusion(ct, pet)[0] - ct
    torch.testing.assert_close(term, term[:, :1].expand_as(term), atol=1e-6, rtol=0)


def test_the_term_of_a_product_and_of_a_sum() -> None:
    (ct, pet), fusion, added = maps(), product(), made("sum")
    s_ct, s_pt = fusion.ct(ct), fusion.pet(pet)
    torch.testing.assert_close(fusion(ct, pet)[0], ct + s_ct * s_pt)
    torch.testing.assert_close(added(ct, pet)[0], ct + s_ct + s_pt)


def test_swapped_inputs_and_weights_swap_the_outputs() -> None:
    (ct, pet), fusion, swapped = maps(), product(), product()
    swapped.ct, swapped.pet = fusion.pet, fusion.ct
    assert all(torch.equal(a, b) for a, b in zip(fusion(ct, pet), reversed(swapped(pet, ct)), strict=True))


@pytest.mark.parametrize("squeezed", ["ct", "pet"])
def test_a_silent_norm_on_either_side_makes_a_product_the_identity(squeezed: str) -> None:
    (ct, pet), fusion = maps(), product()
    for name in ("weight", "bias"):
        nn.init.zeros_(fusion.get_parameter(f"{squeezed}.norm.{name}"))
    new_ct, new_pet = fusion(ct, pet)
    assert torch.equal(new_ct, ct)
    assert torch.equal(new_pet, pet)


def test_the_mean_of_the_products_term_is_a_correlation() -> None:
    """Of both squeezed maps, for one case and norms of scale 1 and shift 0; up to the norm's epsilon."""
    (ct, pet), fusion = maps(), product()
    squeezed = torch.stack([fusion.ct.conv(ct).flatten(), fusion.pet.conv(pet).flatten()])
    term = (fusion(ct, pet)[0] - ct)[:, 0]
    assert term.mean().item() == pytest.approx(torch.corrcoef(squeezed)[0, 1].item(), abs=1e-3)


@EVERY
def test_fusion_is_position_by_position(name: str) -> None:
    """It commutes with a common shift of both streams, and not with one of PET alone."""
    (ct, pet), fusion = maps(), made(name)
    before = fusion(ct, pet)[0].roll(2, dims=3)
    moved_ct, moved_pet = ct.roll(2, dims=3), pet.roll(2, dims=3)
    torch.testing.assert_close(fusion(moved_ct, moved_pet)[0], before, atol=1e-5, rtol=0)
    assert (fusion(moved_ct, pet)[0] - before).abs().max() > 0.1


def test_the_default_term_is_signed_and_a_rectified_or_squashed_one_is_not() -> None:
    (ct, pet) = maps()
    least = {name: (product(activation=name)(ct, pet)[0] - ct).min().item() for name in ACTIVATIONS}
    assert least["none"] < -0.1
    assert least["relu"] == 0
    assert least["sigmoid"] > 0


def test_a_reach_of_three_takes_the_maximum_of_the_neighbours() -> None:
    fusion, squeezed = product(pet_reach=3), torch.zeros(1, 1, 5, 5, 5)
    squeezed[0, 0, 2, 2, 2] = 7
    reached = fusion.reach(squeezed)
    assert (reached == 7).sum() == 27
    assert reached[0, 0, 1:4, 1:4, 1:4].min() == 7


def test_a_reach_of_one_changes_nothing() -> None:
    squeezed = maps()[0][:, :1]
    assert torch.equal(product().reach(squeezed), squeezed)


def test_concatenation_has_no_reach() -> None:
    with pytest.raises(ValueError, match="pet_reach 3 needs a squeezed PET map; fusion 'concat' has none"):
        made("concat", pet_reach=3)


def test_concatenation_reads_ct_first() -> None:
    """With a mix that takes each CT channel once and norms that only centre and scale, PET has no say."""
    fusion, (ct, pet) = made("concat"), maps()
    assert isinstance(fusion, ConcatFusion)
    fusion.mix.conv.weight.data = torch.eye(WIDTH, 2 * WIDTH)[..., None, None, None]
    torch.testing.assert_close(fusion(ct, pet)[0], fusion(ct, -pet)[0])
    assert not torch.allclose(fusion(ct, pet)[1], fusion(-ct, pet)[1])
