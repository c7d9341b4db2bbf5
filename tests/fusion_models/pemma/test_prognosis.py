"""PEMMA's prognosis against its specification: what the EHR token does, and what its absence leaves as it was."""

import pytest
import torch

from client.learning.trainable import train_only
from fusion_models.adapters.injection import inject, lora_config
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.modality import Inputs, restrict
from fusion_models.pemma.prognosis import POOLS, PemmaPrognosis
from fusion_models.pemma.unetr import PemmaUnetr
from fusion_models.registry import MODELS, build_model

CROP = (16, 16, 16)
PUBLISHED = {"pathway": "published"}
ROW = MODELS["pemma-prognosis-tiny"]
IMAGE_SETTINGS = ("ct", "pet", "ct+pet")
PARTS = {"ehr": torch.tensor([[[8.0]]]), "ct": torch.tensor([[[1.0], [3.0]]]), "pet": torch.tensor([[[4.0], [6.0]]])}


def network(**options: object) -> PemmaPrognosis:
    model = build_model(ROW, options, crop_zyx=CROP, seed=3, outputs=4, covariates=5)
    assert isinstance(model, PemmaPrognosis)
    return model.eval()


@pytest.fixture
def net() -> PemmaPrognosis:
    return network()


def case(setting: str, cases: int = 1) -> Inputs:
    generator = torch.Generator().manual_seed(5)
    ct, pet = (torch.rand(cases, 1, *CROP, generator=generator) for _ in range(2))
    return restrict(setting, ct, pet, torch.randn(cases, 5, generator=generator))


def test_the_head_and_the_projection_have_the_published_number_of_parameters() -> None:
    """768-512-128-14 with normalisation, and 12 covariates onto a token; the rest is PEMMA-UNETR's."""
    with torch.device("meta"):
        paper = MODELS["pemma-prognosis-paper"]
        net = build_model(paper, {"classes": 3}, crop_zyx=paper.crop_zyx, seed=0, outputs=14, covariates=12)
    sizes = {key: parameter.numel() for key, parameter in parameters_by_key(net).items()}
    assert sum(size for key, size in sizes.items() if key.startswith("head.")) == 462_478
    assert sum(size for key, size in sizes.items() if key.startswith("ehr_embedding.")) == 9_984
    assert sum(sizes.values()) == 118_744_083 + 462_478 + 9_984


@pytest.mark.parametrize("setting", IMAGE_SETTINGS)
def test_without_ehr_the_mask_is_that_of_pemma_unetr_bit_for_bit(net: PemmaPrognosis, setting: str) -> None:
    plain = build_model(MODELS["pemma-unetr-tiny"], PUBLISHED, crop_zyx=CROP, seed=8).eval()
    assert isinstance(plain, PemmaUnetr)
    missing = net.load_state_dict(plain.state_dict(), strict=False)
    assert missing.unexpected_keys == []
    assert {key.partition(".")[0] for key in missing.missing_keys} == {"ehr_embedding", "head"}
    with torch.no_grad():
        assert torch.equal(net(*case(setting)), plain(*case(setting)))


def test_without_outputs_and_covariates_nothing_but_pemma_unetr_is_left() -> None:
    plain, bare = (
        build_model(MODELS[name], PUBLISHED, crop_zyx=CROP, seed=8)
        for name in ("pemma-unetr-tiny", "pemma-prognosis-tiny")
    )
    assert set(parameters_by_key(bare)) == set(parameters_by_key(plain))


def test_tokens_stand_in_the_order_ehr_ct_pet(net: PemmaPrognosis) -> None:
    ct, pet, ehr = case("ct+pet+ehr")
    embedded = net.embed(ct, pet, ehr)
    assert list(embedded) == ["ehr", "ct", "pet"]
    assert torch.equal(embedded["ehr"][:, 0], net.ehr_embedding(ehr))
    assert all(torch.equal(embedded[name], tokens) for name, tokens in net.tokens(ct, pet).items())


def test_the_decoder_reads_the_ct_rows_behind_the_ehr_token(net: PemmaPrognosis) -> None:
    features = net.encode(*case("ct+pet+ehr"))
    assert torch.equal(features.hidden[-1], features.parts["ct"])
    assert features.parts["ehr"].shape == (1, 1, 24)


@pytest.mark.parametrize("setting", ["ehr", "ct+ehr", "pet+ehr", "ct+pet+ehr"])
def test_the_gradient_reaches_the_ehr_projection(net: PemmaPrognosis, setting: str) -> None:
    """With images through attention alone: the pooled rows are the image's."""
    net.assess(*case(setting)).square().sum().backward()
    found = net.ehr_embedding.weight.grad
    assert found is not None
    assert bool(found.any())


def test_ehr_moves_the_mask_through_attention(net: PemmaPrognosis) -> None:
    with torch.no_grad():
        assert not torch.equal(net(*case("ct+ehr")), net(*case("ct")))


@pytest.mark.parametrize("pool", sorted(POOLS))
@pytest.mark.parametrize(("without", "missing"), [("ct+pet", "ehr"), ("ct+ehr", "pet"), ("pet+ehr", "ct")])
def test_what_is_absent_is_not_zero(pool: str, without: str, missing: str) -> None:
    net, whole = network(pool=pool), case("ct+pet+ehr")
    zeros = whole._replace(**{missing: torch.zeros_like(getattr(whole, missing))})
    with torch.no_grad():
        assert not torch.allclose(net.assess(*case(without)), net.assess(*zeros), atol=1e-5)


def test_ehr_alone_is_a_sequence_of_one_token(net: PemmaPrognosis) -> None:
    """Attention over one token hands its value on: v and the output projection alone matter, q and k do not."""
    other = torch.randn(2 * 24, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        alone, beside = net.assess(*case("ehr")), net.assess(*case("ct+ehr"))
        for block in net.vit.blocks.children():
            block.get_submodule("attn.qkv").get_parameter("weight")[: 2 * 24] = other
        assert torch.allclose(net.assess(*case("ehr")), alone, atol=1e-6)
        assert not torch.allclose(net.assess(*case("ct+ehr")), beside, atol=1e-6)


def test_a_mask_needs_an_image(net: PemmaPrognosis) -> None:
    with pytest.raises(ValueError, match="needs CT, PET or both; found EHR alone"):
        net(*case("ehr"))


@pytest.mark.parametrize(("pool", "mean"), [("image", 2.0), ("all", 22 / 5), ("modalities", 5.0)])
def test_a_pool_is_a_mean_of_the_tokens_it_names(pool: str, mean: float) -> None:
    """EHR 8; CT 1, 3; PET 4, 6: CT's mean 2, that of all five 4.4, that of the means 8, 2, 5 is 5."""
    assert POOLS[pool](PARTS).item() == pytest.approx(mean)


def test_the_image_that_is_pooled_is_the_one_that_is_there() -> None:
    pool = POOLS["image"]
    assert pool({"ehr": PARTS["ehr"], "pet": PARTS["pet"]}).item() == 5
    assert pool({"ehr": PARTS["ehr"]}).item() == 8


def test_a_case_is_answered_alike_in_any_batch(net: PemmaPrognosis) -> None:
    """No statistic of the batch is in the head, where the published one has batch normalisations."""
    both = case("ct+pet+ehr", cases=2)
    alone = Inputs(*(None if part is None else part[:1] for part in both))
    with torch.no_grad():
        torch.testing.assert_close(net.train().assess(*both)[:1], net.assess(*alone))


def test_a_prognosis_stage_trains_projection_head_and_adapters_and_nothing_of_the_backbone(
    net: PemmaPrognosis,
) -> None:
    inject(net, lora_config(method="lora", rank=2, alpha=4, targets=ROW.adapter_targets), seed=0)
    live = train_only(net, ("ehr", "head", "peft"), ROW.pathways)
    assert {"peft" if "#" in key else key.partition(".")[0] for key in live} == {"ehr_embedding", "head", "peft"}


@pytest.mark.parametrize(
    ("sizes", "setting", "message"),
    [
        ({"outputs": 4, "covariates": 0}, "ehr", "built without covariates"),
        ({"outputs": 4, "covariates": 6}, "ehr", r"ehr must have shape \(b, 6\), found \(1, 5\)"),
        ({"outputs": 0, "covariates": 5}, "ct", "built without a head"),
        ({"outputs": 4, "covariates": 5}, "", "a case needs CT, PET or EHR; found none"),
    ],
)
def test_what_the_network_was_not_built_for_is_refused(sizes: dict[str, int], setting: str, message: str) -> None:
    net = build_model(ROW, {}, crop_zyx=CROP, seed=0, **sizes)
    assert isinstance(net, PemmaPrognosis)
    with pytest.raises(ValueError, match=message):
        net.assess(*case(setting))


def test_an_unknown_pool_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown pool 'max'; known: \['all', 'image', 'modalities'\]"):
        network(pool="max")


def test_the_widths_of_the_head_are_an_option() -> None:
    shapes = [tuple(p.shape) for key, p in parameters_by_key(network(head=(7, 6))).items() if key.startswith("head.")]
    assert [shape for shape in shapes if len(shape) == 2] == [(7, 24), (6, 7), (4, 6)]
