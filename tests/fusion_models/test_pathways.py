"""How a PET pathway starts, over every row of the table of models that has a say in it."""

from typing import Any

import pytest
import torch

from client.learning.assembly import assemble, build
from client.learning.trainable import train_only
from fusion_models.adapters.keys import parameters_by_key
from fusion_models.contract import Assessor, FusionModel, Segmenter
from fusion_models.modality import Inputs
from fusion_models.pathways import PATHWAYS, pathway_of
from fusion_models.registry import MODELS, model_row
from protocol.local_steps import is_gate
from protocol.messages.settings import Model, Preprocessing, StudySettings
from protocol.messages.tensors import FUSION, group_of
from tests.support.smallest_models import SMALLEST, built, inputs

WITH_PET = [name for name in SMALLEST if {"ct", "ct+pet"} <= set(MODELS[name].settings)]
STARTED = [name for name in WITH_PET if "pathway" in MODELS[name].options]
ALWAYS_IDENTITY = {"pemma-swin-tiny", "resenc-tiny"}
COPYING = ("pemma", "log")
FIXED = {
    "multistage-late-tiny": "two networks, each trained by itself, whose probabilities are averaged",
    "clinicalfmamba-2d-tiny": "what fuses two images is not what reconstructs one",
    "clinicalfmamba-3d-tiny": "what fuses two images is not what reconstructs one",
}


def answer(model: FusionModel, given: Inputs) -> torch.Tensor:
    """The mask's logits, or the outputs of the head."""
    found: torch.Tensor = model(*given)
    return found


def whole(name: str, setting: str, cases: int = 2) -> Inputs:
    return Inputs(*(None if each is None else each.expand(cases, *each.shape[1:]) for each in inputs(name, setting)))


def test_every_row_with_a_pet_pathway_has_a_start_or_a_reason() -> None:
    assert set(WITH_PET) == {*STARTED, *ALWAYS_IDENTITY, *FIXED}
    assert all(MODELS[name].options["pathway"] in PATHWAYS for name in STARTED)


def test_an_identity_is_the_default_where_it_has_been_measured() -> None:
    started = {name: row for name, row in MODELS.items() if "pathway" in row.options}
    assert {name.rpartition("-")[0] for name, row in started.items() if row.options["pathway"] == "identity"} == {
        "pemma-unetr"
    }
    assert {row.options["pathway"] for row in started.values()} == {"identity", "published"}


@pytest.mark.parametrize("name", [*STARTED, *sorted(ALWAYS_IDENTITY)])
def test_a_fresh_identity_answers_ct_and_pet_as_the_ct_network_does(name: str) -> None:
    """Bit for bit, for two cases at once, at a backbone that the pathway was not drawn with."""
    options: dict[str, Any] = {"pathway": "identity"} if name in STARTED else {}
    model = built(name, **options).eval()
    noise = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for key, parameter in parameters_by_key(model).items():
            if group_of(key, MODELS[name].pathways) == "backbone":
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=noise))
        assert torch.equal(answer(model, whole(name, "ct+pet")), answer(model, whole(name, "ct")))


@pytest.mark.parametrize("name", STARTED)
def test_an_identity_opens_by_the_gradient_of_gates_that_no_case_without_ct_and_pet_reaches(name: str) -> None:
    row, model = MODELS[name], built(name, pathway="identity").eval()
    gates = {key: each for key, each in parameters_by_key(model).items() if is_gate(key)}
    assert gates
    assert {group_of(key, row.pathways) for key in gates} == {FUSION}
    answer(model, inputs(name, "ct")).sum().backward()
    answer(model, inputs(name, "pet")).sum().backward()
    assert [key for key, gate in gates.items() if gate.grad is not None] == []
    answer(model, inputs(name, "ct+pet")).square().sum().backward()
    assert [key for key, gate in gates.items() if gate.grad is None or not bool(gate.grad.all())] == []


@pytest.mark.parametrize("name", STARTED)
def test_an_identity_that_is_wide_open_is_the_pathway_without_gates(name: str) -> None:
    """Published where PET has no module that could start as a copy; up to the order of sums over a larger batch."""
    options = MODELS[name].options
    wide: dict[str, Any] = {option: 1.0 for option in ("gate", "gain") if option in options}
    other = "copied" if name.startswith(COPYING) else "published"
    opened, plain = built(name, pathway="identity", **wide).eval(), built(name, pathway=other).eval()
    with torch.no_grad():
        found, expected = (answer(model, inputs(name, "ct+pet")) for model in (opened, plain))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in STARTED if MODELS[name].is_for(Segmenter)])
def test_what_pet_has_of_its_own_learns_after_the_gates_have_moved(name: str) -> None:
    """Behind a closed gate nothing has a gradient but the gate; one step later all of the pathway does."""
    row, model = MODELS[name], built(name, pathway="identity").eval()
    trained = train_only(model, ("pet", FUSION), row.pathways)
    optimiser = torch.optim.SGD(trained.values(), lr=1.0)
    for _ in range(2):
        optimiser.zero_grad()
        answer(model, inputs(name, "ct+pet")).square().mean().backward()
        optimiser.step()
    assert [key for key, each in trained.items() if each.grad is None or not bool(each.grad.any())] == []


@pytest.mark.parametrize("name", [name for name in STARTED if name.startswith(COPYING)])
@pytest.mark.parametrize("pathway", ["copied", "identity"])
def test_a_copied_pathway_answers_pet_as_the_ct_network_would(name: str, pathway: str) -> None:
    model = built(name, pathway=pathway).eval()
    pet = whole(name, "pet").pet
    with torch.no_grad():
        assert torch.equal(answer(model, Inputs(None, pet)), answer(model, Inputs(pet, None)))


@pytest.mark.parametrize("name", STARTED)
def test_the_ct_network_is_drawn_alike_whatever_the_start(name: str) -> None:
    row = MODELS[name]
    published, identity = (parameters_by_key(built(name, pathway=start)) for start in ("published", "identity"))
    same = [key for key in published if group_of(key, row.pathways) == "backbone"]
    assert all(torch.equal(published[key], identity[key]) for key in same)
    assert set(identity) - set(published) == {key for key in identity if is_gate(key)}


@pytest.mark.parametrize("name", STARTED)
def test_the_openings_are_options_and_mean_nothing_without_gates(name: str) -> None:
    for option in {"gate", "gain"} & set(MODELS[name].options):
        opening: dict[str, Any] = {option: 0.5}
        half = built(name, pathway="identity", **opening)
        assert 0.5 in {each.flatten()[0].item() for key, each in parameters_by_key(half).items() if is_gate(key)}
        with pytest.raises(
            ValueError, match=rf"pathway 'published' has no gates and gains, so \['{option}'\] must be 0"
        ):
            built(name, pathway="published", **opening)


def test_an_identity_stays_one_through_assembly_with_fresh_adapters() -> None:
    """In the memory format and with the adapters that a study gives it."""
    name = "pemma-unetr-tiny"
    settings = StudySettings(
        study="small",
        seed=5,
        model=Model(name=name, options={"pathway": "identity"}),
        preprocessing=Preprocessing(crop_zyx=MODELS[name].crop_zyx),
    )
    row = model_row(name)
    fresh = {key: each.detach().numpy() for key, each in parameters_by_key(build(settings, row)).items()}
    model = assemble(settings, row, {}, fresh).eval()
    with torch.no_grad():
        assert torch.equal(answer(model, whole(name, "ct+pet")), answer(model, whole(name, "ct")))


def test_with_health_records_an_identity_answers_as_it_does_without_pet() -> None:
    model = built("pemma-prognosis-tiny", pathway="identity").eval()
    assert isinstance(model, Assessor)
    with torch.no_grad():
        for ask in (model, model.assess):
            with_pet, without = (ask(*whole("pemma-prognosis-tiny", setting)) for setting in ("ct+pet+ehr", "ct+ehr"))
            assert torch.equal(with_pet, without)


def test_a_start_that_a_family_does_not_have_is_refused_with_those_it_has() -> None:
    with pytest.raises(ValueError, match=r"unknown pathway 'open'; known: \['copied', 'identity', 'published'\]"):
        pathway_of("open")
    with pytest.raises(ValueError, match=r"unknown pathway 'copied'; known: \['identity', 'published'\]"):
        pathway_of("copied", ("published", "identity"))
