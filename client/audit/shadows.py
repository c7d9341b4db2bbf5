"""Shadows: networks trained like the one that is attacked, on one half of a center's patients each.

Halves come in pairs that complete each other, so that every patient is in exactly half of the shadows. What a shadow
says of every case is kept as soon as it is trained; the shadow itself is not. An audit that was interrupted goes on
behind the last one that is kept.

    FOLDER/<digest>/<number>.json     {"losses": [..], "seal": SHA-256}; null where undefined
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from client.audit.case_losses import case_losses
from client.audit.pool import AuditPool
from client.audit.shadow_training import train_like
from client.audit.target import AuditTarget
from client.learning.cancellation import Check
from client.tasks.building import build_task
from protocol.storage.atomic_files import make_private_folder, write_private
from protocol.storage.regular_files import read_whole
from protocol.storage.sealed_json import seal, unseal
from strategies.evaluation.matrix import Floats
from strategies.evaluation.membership import Members

Told = Callable[[int], None]
"""Is told how many shadows are done."""


@dataclass(frozen=True)
class Shadows:
    """Losses of each shadow on each case, (S, cases), and whether it was trained with each patient, (S, patients)."""

    losses: Floats
    held: Members


def draw_halves(patients: int, shadows: int, rng: np.random.Generator) -> Members:
    """Which patients each shadow holds, (S, patients): row 2i + 1 holds whom row 2i does not.

    Raises:
        ValueError: the number of shadows is odd, or below 4: a mean over one has no scatter.
    """
    if shadows < 4 or shadows % 2:
        raise ValueError(f"{shadows} shadows; give an even number from 4 on")
    halves = np.zeros((shadows, patients), dtype=np.bool_)
    for first in range(0, shadows, 2):
        halves[first, rng.permutation(patients)[: patients // 2]] = True
        halves[first + 1] = ~halves[first]
    return halves


def train_shadows(target: AuditTarget, pool: AuditPool, count: int, folder: Path, check: Check, tell: Told) -> Shadows:
    """Train what is not kept yet, one shadow after another.

    Args:
        target: what they are like.
        pool: the patients.
        count: how many.
        folder: where their losses are kept.
        check: is called before each step and case.
        tell: is told of each that is done.

    Raises:
        CancelledError: `check` raised it; what was finished stays.
        ModelError: a half has no case that the training could use.
    """
    held = draw_halves(len(pool.names), count, np.random.default_rng(target.network.settings.seed))
    kept = folder / _digest(target, pool, held)
    make_private_folder(kept)
    rows = []
    for number, half in enumerate(held):
        path = kept / f"{number:03d}.json"
        losses = _read(path, len(pool.cases))
        if losses is None:
            names = [name for name, inside in zip(pool.names, half, strict=True) if inside]
            losses = _train_one(target, pool, names, number, check)
            _keep(path, losses)
        rows.append(losses)
        tell(number + 1)
    return Shadows(np.stack(rows), held)


def _train_one(target: AuditTarget, pool: AuditPool, names: Sequence[str], number: int, check: Check) -> Floats:
    """The losses on all cases of the pool of a shadow that holds some patients."""
    network, training = target.network, target.training
    model = train_like(target, {name: pool.of_patients([name]) for name in names}, number, check)
    task = build_task(target.task, network.settings, training.recipe).fitted_to(pool.cases)
    return case_losses(model, task, pool.cases, network.row.settings, check)


def _digest(target: AuditTarget, pool: AuditPool, held: Members) -> str:
    """What names these shadows: all that their losses depend on."""
    names = [[case.name, patient] for case, patient in zip(pool.cases, pool.patients, strict=True)]
    content = {"target": target.digest, "cases": names, "held": held.tolist()}
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _keep(path: Path, losses: Floats) -> None:
    shown = [None if np.isnan(loss) else float(loss) for loss in losses]
    write_private(path, seal({"losses": shown}))


def _read(path: Path, cases: int) -> Floats | None:
    """What was kept; None where nothing was, or where it is damaged: that shadow is trained again."""
    try:
        found = unseal(read_whole(path))["losses"]
        losses = np.array([np.nan if loss is None else loss for loss in found], dtype=np.float64)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return losses if losses.shape == (cases,) else None
