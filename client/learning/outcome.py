"""What a round at a center comes to, in plain values: the payload, what stands behind it, and what stood still."""

import hashlib
import hmac
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from torch import nn

from client.learning.assembly import arrays_of
from client.learning.training import Trained
from client.local_terms.contract import LocalTerm
from fusion_models.adapters.keys import parameters_by_key
from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload, frozen_hash, phase_of
from protocol.messages.settings import Training
from protocol.messages.tensors import BACKBONE, PEFT, Tensors, TensorSpec, content_hash, group_in, select

Arrays = dict[str, NDArray[np.float32]]
FEW_STEPS = 5


def payload_of(
    model: nn.Module,
    specs: Sequence[TensorSpec],
    instruction: Instruction,
    center: str,
    moved: Tensors,
    support: Mapping[str, int],
) -> Payload:
    """The payload of `model` as it is after the instruction: what moved is sent, all else is hashed.

    A backbone that trains is among `moved`, and the payload names the one that the round started from; otherwise it is
    hashed as it is now, so that training that moved a frozen tensor cannot hide it.
    """
    training, now = instruction.training, arrays_of(parameters_by_key(model))
    backbone = [spec for spec in specs if spec.group == BACKBONE]
    frozen = {spec.key for spec in backbone}
    rest = {key: array for key, array in instruction.tensors.items() if key not in frozen}
    moving = training is not None and BACKBONE in training.groups
    return Payload(
        center=center,
        backbone_hash=instruction.backbone_hash if moving else content_hash(select(now, backbone)),
        stage=instruction.stage,
        server_round=instruction.server_round,
        tensors=moved,
        support=support,
        phase=phase_in(training),
        frozen_hash=frozen_hash(rest, now, moved),
    )


def phase_in(training: Training | None) -> str:
    """The roles of the shared adapter that train; empty where it stands still."""
    return phase_of(training.roles) if training is not None and PEFT in training.groups else ""


def arrays_to_send(
    parameters: Mapping[str, nn.Parameter],
    terms: Iterable[LocalTerm],
    specs: Sequence[TensorSpec],
    support: Mapping[str, int],
) -> Arrays:
    """What trained, and what local terms remember of it, for the groups that have a case behind them."""
    groups = {spec.key: spec.group for spec in specs}
    outcome = {key: array for term in terms for key, array in term.outcome().items()}
    statistics = {key: array for key, array in outcome.items() if support.get(group_in(key, groups))}
    return select(arrays_of(parameters), [spec for spec in specs if support.get(spec.group)]) | statistics


def round_loss(trained: Trained) -> float | None:
    """The mean loss to a step of 1, 2 or 5 times a power of ten no finer than its standard error, if there is one.

    What a round draws scatters the mean by that much. Rounds that move next to nothing would otherwise tell, mean by
    mean over other cases, the loss of each: of six, five at a time, it is the sum less five times each of six means.
    Fewer than FEW_STEPS say little of their scatter: there it is a tenth of the loss at least.
    """
    if trained.loss is None:
        return None
    tenth = abs(trained.loss) / 10 if trained.steps < FEW_STEPS else 0.0
    wanted = max(trained.loss_error, tenth)
    if not wanted:
        return trained.loss
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(times * power for times in (1, 2, 5, 10) if times * power >= wanted)
    return round(trained.loss / step) * step


def round_generator(instruction: Instruction, center: str, key: bytes) -> np.random.Generator:
    """The randomness of one round at one center, the same whenever that round is repeated.

    Args:
        instruction: of the round.
        center: whose round it is.
        key: what the center keeps to itself (`client.home.draw_key`); without one, everybody knows what is drawn.
    """
    name = f"{instruction.settings.seed}|{instruction.stage}|{instruction.server_round}|{center}".encode()
    digest = hmac.digest(key, name, hashlib.sha256) if key else hashlib.sha256(name).digest()[:8]
    return np.random.default_rng(int.from_bytes(digest, "big"))
