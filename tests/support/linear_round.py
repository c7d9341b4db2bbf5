"""A round of one adapted module of rank 1, a backbone tensor and a PET tensor, small enough to average by hand."""

import numpy as np

from protocol.messages.settings import ROLES, Aggregation, Role
from protocol.messages.tensors import BACKBONE, PET
from strategies.aggregation.contract import Base
from tests.support.drawn_adapters import MODULE

HEAD, STEM, GRAM = "encoder.weight", "pet_embedding.weight", f"{MODULE}@gram"
GROUPS = {HEAD: BACKBONE, STEM: PET}


def tensor(*values: object) -> np.ndarray:
    """Values as they travel."""
    return np.array(values, dtype=np.float32)


def base(*roles: Role, exponent: float = 1, frozen: np.ndarray | None = None, **settings: object) -> Base:
    """A round at rank 1, alpha 1; all roles where none is named."""
    weights = {} if frozen is None else {f"{MODULE}.weight": frozen}
    chosen = Aggregation.model_validate({"weight_exponent": exponent, **settings})
    return Base(groups=GROUPS, frozen=weights, alpha=1, rank=1, settings=chosen, roles=roles or ROLES)


def lists(tensors: dict[str, np.ndarray]) -> dict[str, list]:
    """Tensors as plain lists."""
    return {key: array.tolist() for key, array in tensors.items()}
