"""The early-fusion baseline."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fusion_models.adapters.keys import parameters_by_key
from fusion_models.registry import MODELS, build_model


def test_16_the_baseline_has_the_same_decoder_capacity() -> None:
    ours = build_model(MODELS["pemma-unetr-small"], {}, crop_zyx=(48, 48, 48), seed=0)
    early = build_model(MODELS["early-fusion-unetr-small"], {}, crop_zyx=(48, 48, 48), seed=0)

    def decoder(model: nn.Module) -> int:
        return sum(p.numel() for key, p in parameters_by_key(model).items() if key.startswith(("decoder", "out")))

    assert decoder(ours) == decoder(early)


def test_one_modality_alone_is_refused_never_filled() -> None:
    model = build_model(MODELS["early-fusion-unetr-tiny"], {}, crop_zyx=(16, 16, 16), seed=0)
    image = torch.zeros(1, 1, 16, 16, 16)
    for ct, pet in ((image, None), (None, image)):
        with pytest.raises(ValueError, match="early fusion needs CT and PET"):
            model(ct, pet)


def test_its_first_convolutions_read_ct_and_pet_as_channels() -> None:
    model: Any = build_model(MODELS["early-fusion-unetr-tiny"], {}, crop_zyx=(16, 16, 16), seed=0)
    seen: list[Tensor] = []
    model.encoder1.register_forward_hook(lambda _module, images, _out: seen.append(images[0]))
    ct, pet = torch.zeros(1, 1, 16, 16, 16), torch.ones(1, 1, 16, 16, 16)
    assert model(ct, pet).shape == (1, 2, 16, 16, 16)
    assert seen[0].mean((0, 2, 3, 4)).tolist() == [0, 1]
