"""VMamba's own names for the four directions of an SS2D, and ours (official code of arXiv 2401.10166).

    x_proj_weight    (4, R + 2N, d)    directions.k.x_proj.weight    (R + 2N, d)
    dt_projs_weight  (4, d, R)         directions.k.dt_proj.weight   (d, R)
    dt_projs_bias    (4, d)            directions.k.dt_proj.bias     (d,)
    A_logs           (4d, N)           directions.k.A_log            (d, N)
    Ds               (4d,)             directions.k.D                (d,)

Stacked tensors cannot carry one adapter a projection; that is why ours are apart.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from fusion_models.ssm.cross_scan import DIRECTIONS

STACKED = {"x_proj_weight": "x_proj.weight", "dt_projs_weight": "dt_proj.weight", "dt_projs_bias": "dt_proj.bias"}
JOINED = {"A_logs": "A_log", "Ds": "D"}
OURS = {ours: theirs for theirs, ours in (STACKED | JOINED).items()}
DIRECTION = re.compile(r"^((?:.*\.)?)directions\.(\d+)\.(" + "|".join(re.escape(name) for name in OURS) + ")$")


def split_directions(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official names to ours; every other name passes.

    Raises:
        ValueError: a tensor that does not hold four directions.
    """
    split: dict[str, Tensor] = {}
    for key, tensor in state.items():
        prefix, dot, last = key.rpartition(".")
        if last not in STACKED and last not in JOINED:
            split[key] = tensor
            continue
        ours = (STACKED | JOINED)[last]
        for k, part in enumerate(_parts(key, tensor, joined=last in JOINED)):
            split[f"{prefix}{dot}directions.{k}.{ours}"] = part
    return split


def stack_directions(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our names to the official ones; every other name passes.

    Raises:
        ValueError: a direction is missing.
    """
    stacked: dict[str, Tensor] = {}
    for key, tensor in state.items():
        match = DIRECTION.match(key)
        if match is None:
            stacked[key] = tensor
            continue
        prefix, _, ours = match.groups()
        if prefix + OURS[ours] not in stacked:
            parts = _directions_of(state, prefix, ours)
            stacked[prefix + OURS[ours]] = torch.cat(parts) if OURS[ours] in JOINED else torch.stack(parts)
    return stacked


def _directions_of(state: Mapping[str, Tensor], prefix: str, ours: str) -> list[Tensor]:
    keys = [f"{prefix}directions.{k}.{ours}" for k in range(DIRECTIONS)]
    missing = [key for key in keys if key not in state]
    if missing:
        raise ValueError(f"'{prefix}directions' needs {DIRECTIONS} tensors {ours}; missing: {missing}")
    return [state[key] for key in keys]


def _parts(key: str, tensor: Tensor, *, joined: bool) -> tuple[Tensor, ...]:
    whole = tensor.shape[0] % DIRECTIONS == 0 if joined else tensor.shape[0] == DIRECTIONS
    if not whole:
        raise ValueError(f"tensor {key} has shape {tuple(tensor.shape)}, expected {DIRECTIONS} directions on axis 0")
    return tensor.chunk(DIRECTIONS) if joined else tensor.unbind()
