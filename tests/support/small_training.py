"""The smallest network with a pathway per modality, its cases, and a round of training on them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from client.data.preprocessing import PreparedCase
from client.learning.training import Trained, train_locally
from client.local_terms.contract import LocalTerm
from client.tasks.segmentation import Segmentation
from fusion_models.registry import MODELS
from protocol.messages.settings import Preprocessing, Training
from tests.support.image_network import ImageNetwork
from tests.support.masked_case import masked
from tests.support.segmentation_task import segmentation

CROP = (16, 16, 16)


TASK = segmentation(CROP)


ROW = MODELS["pemma-unetr-tiny"]


SHARES: dict[str, float] = {"ct+pet": 0.6, "ct": 0.2, "pet": 0.2}


def made(name: str, modalities: str, seed: int = 0, *, labelled: bool = True) -> PreparedCase:
    rng = np.random.default_rng(seed)
    ct, pet = (rng.random((18, 18, 18), dtype=np.float32) for _ in range(2))
    gtv = (ct > 0.7).astype(np.uint8) if labelled else None
    return masked(name, ct if "ct" in modalities else None, pet if "pet" in modalities else None, gtv)


BOTH, CT, PET = made("both", "ct+pet", 1), made("only-ct", "ct", 2), made("only-pet", "pet", 3)


class Pathways(ImageNetwork):
    """The smallest network with a pathway per modality, and one parameter that no forward pass uses."""

    def __init__(self) -> None:
        super().__init__()
        self.ct_pathway, self.pet_pathway = (nn.Conv3d(1, 2, kernel_size=1) for _ in range(2))
        self.unused = nn.Parameter(torch.ones(3))
        self.inputs: list[tuple[bool, bool]] = []

    def look(self, ct: Tensor | None, pet: Tensor | None) -> Tensor:
        self.inputs.append((ct is not None, pet is not None))
        paths = [path(x) for path, x in ((self.ct_pathway, ct), (self.pet_pathway, pet)) if x is not None]
        return torch.stack(paths).sum(dim=0)


def stage(**changes: Any) -> Training:
    asked = {"groups": ["peft"], "local_steps": 6, "learning_rate": 1e-2, "modality_shares": SHARES}
    return Training.model_validate(asked | changes)


def train(
    model: nn.Module,
    cases: Sequence[PreparedCase],
    training: Training,
    *,
    names: Sequence[str] = (),
    seed: int = 0,
    terms: Sequence[LocalTerm] = (),
) -> Trained:
    parameters = {name: p for name, p in model.named_parameters() if not names or name.startswith(tuple(names))}
    return train_locally(
        model,
        parameters,
        cases,
        task=Segmentation(Preprocessing(crop_zyx=CROP), recipe=training.recipe),
        training=training,
        model_settings=ROW.settings,
        rng=np.random.default_rng(seed),
        terms=terms,
    )


def fresh(seed: int = 0) -> Pathways:
    torch.manual_seed(seed)
    return Pathways()


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def moved(before: dict[str, Tensor], model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if not torch.equal(before[name], parameter)}
