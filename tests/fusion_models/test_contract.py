"""What a network inherits from the contract; what every row of the table must satisfy is in test_registry."""

import pytest
import torch
from torch import Tensor, nn

from fusion_models.contract import Assessor, Fuser, NoFeaturesOfCtError, Segmenter, refuse_ehr

ONE, TWO = torch.ones(1, 1, 1, 1, 1), torch.full((1, 1, 1, 1, 1), 2.0)


class Sum(Segmenter, Assessor):
    """Features: the sum of the images. Mask: ten times as much. Answer: minus as much."""

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:
        refuse_ehr(self, ehr)
        return torch.stack([image for image in (ct, pet) if image is not None]).sum(0)

    def decode(self, features: Tensor) -> Tensor:
        return 10 * features

    def answer(self, features: Tensor) -> Tensor:
        return -features.flatten(1)

    def pool_features(self, ct: Tensor) -> Tensor:  # noqa: ARG002  (there are none)
        raise NoFeaturesOfCtError(self)


def test_a_network_of_both_roles_gives_the_mask_forward_and_the_answer_when_asked() -> None:
    assert Sum()(ONE, TWO).item() == 30
    assert Sum().assess(ONE, TWO).tolist() == [[-3]]
    assert Sum().assess(None, TWO).tolist() == [[-2]]


def test_a_segmenter_trains_its_one_output_and_predicts_by_crops() -> None:
    assert [scale.item() for scale in Sum().scales(ONE, None)] == [10]
    assert Sum().window_zyx((9, 9, 9), [4, 4, 4]) == (4, 4, 4)


def test_an_assessor_alone_answers_forward() -> None:
    class Answer(Assessor):
        encode, answer, pool_features = Sum.encode, Sum.answer, Sum.pool_features

    assert Answer()(ONE, None).tolist() == [[-1]]


def test_a_fuser_gives_its_image_forward_and_fuses_by_crops() -> None:
    class Third(Fuser):
        encode, fuse, pool_features = Sum.encode, Sum.decode, Sum.pool_features

    assert Third()(ONE, TWO).item() == 30
    assert Third().window_zyx((9, 9, 9), [4, 4, 4]) == (4, 4, 4)


def test_a_network_of_images_refuses_health_records_by_name() -> None:
    with pytest.raises(ValueError, match=r"Sum reads CT and PET alone, found EHR of shape \(1, 4\)"):
        Sum()(ONE, TWO, torch.ones(1, 4))


def test_a_network_that_lacks_a_half_of_its_contract_cannot_be_built() -> None:
    class NoDecoder(Segmenter):
        encode, pool_features = Sum.encode, Sum.pool_features

    with pytest.raises(TypeError, match=r"abstract method.*decode"):
        NoDecoder()  # type: ignore[abstract]


def test_what_has_no_features_of_ct_says_so() -> None:
    with pytest.raises(NoFeaturesOfCtError, match="Linear has no features of CT alone; use another model or no router"):
        raise NoFeaturesOfCtError(nn.Linear(1, 1))
