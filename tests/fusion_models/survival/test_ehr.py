"""Networks of health records alone."""

import pytest
import torch

from fusion_models.contract import NoFeaturesOfCtError
from fusion_models.survival.cox import cox_loss
from fusion_models.survival.ehr import EhrAssessor, build_linear, build_mlp

CROP = (1, 1, 1)
VECTOR = torch.tensor([[1.0, 0.0, -2.0], [0.5, 1.0, 0.0]])


def linear() -> EhrAssessor:
    return build_linear(crop_zyx=CROP, width=2, outputs=4, covariates=3)


@pytest.mark.parametrize(("build", "width"), [(build_linear, 0), (build_linear, 2), (build_mlp, 2)])
def test_every_case_has_the_same_risk_before_the_first_step(build, width: int) -> None:
    model = build(crop_zyx=CROP, width=width, outputs=4, covariates=3)
    assert torch.equal(model(None, None, VECTOR), torch.zeros(2, 4))


@pytest.mark.parametrize("width", [0, 2])
def test_one_step_tells_cases_apart(width: int) -> None:
    """What starts at zero does not stop learning: its own gradient is that of its input."""
    torch.manual_seed(0)
    model = build_linear(crop_zyx=CROP, width=width, outputs=1, covariates=3)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    cox_loss(model(None, None, VECTOR), torch.tensor([[[1.0, 1]], [[2.0, 1]]])).backward()
    optimiser.step()
    first, second = model(None, None, VECTOR)[:, 0].tolist()
    assert first > second


def test_the_linear_model_is_linear_of_the_rank_of_its_width() -> None:
    model = build_linear(crop_zyx=CROP, width=2, outputs=4, covariates=6)
    for parameter in model.head.parameters():
        torch.nn.init.normal_(parameter)
    answers = model(None, None, torch.eye(6)) - model(None, None, torch.zeros(1, 6))
    assert torch.linalg.matrix_rank(answers) == 2


def test_parameters_are_those_of_the_encoder_and_the_head() -> None:
    """W 2 x 3, H 4 x 2, c 4."""
    shapes = {name: tuple(parameter.shape) for name, parameter in linear().named_parameters()}
    assert shapes == {"ehr.weight": (2, 3), "head.weight": (4, 2), "head.bias": (4,)}
    assert not list(linear().buffers())


def test_without_a_width_every_covariate_has_an_effect_on_every_output() -> None:
    """W 4 x 3 in `ehr`, c 4 in `head`; outputs W x + c."""
    model = build_linear(crop_zyx=CROP, width=0, outputs=4, covariates=3)
    parameters = dict(model.named_parameters())
    assert {name: tuple(p.shape) for name, p in parameters.items()} == {"ehr.weight": (4, 3), "head.bias": (4,)}
    for parameter in parameters.values():
        torch.nn.init.normal_(parameter)
    expected = VECTOR @ parameters["ehr.weight"].T + parameters["head.bias"]
    assert torch.allclose(model(None, None, VECTOR), expected)


def test_images_are_refused() -> None:
    with pytest.raises(ValueError, match="reads EHR alone, found CT and PET"):
        linear().encode(torch.zeros(2, 1, 1, 1, 1), torch.zeros(2, 1, 1, 1, 1), VECTOR)


def test_no_record_is_no_vector_of_zeros() -> None:
    with pytest.raises(ValueError, match="needs EHR, found none"):
        linear().encode(None, None, None)


def test_a_vector_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must have shape \(b, 3\), found \(2, 2\)"):
        linear().encode(None, None, VECTOR[:, :2])


def test_there_are_no_features_of_ct() -> None:
    with pytest.raises(NoFeaturesOfCtError):
        linear().pool_features(torch.zeros(1, 1, 4, 4, 4))


@pytest.mark.parametrize(("covariates", "outputs"), [(0, 3), (3, 0)])
@pytest.mark.parametrize("build", [build_linear, build_mlp])
def test_a_study_without_covariates_or_outputs_is_refused(build, covariates: int, outputs: int) -> None:
    with pytest.raises(ValueError, match="needs a study with covariates"):
        build(crop_zyx=CROP, width=2, outputs=outputs, covariates=covariates)
