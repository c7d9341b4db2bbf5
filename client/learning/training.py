"""Local training of one round: which tensors move, on which modalities, and which cases really moved them."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.data.crops import apply_crop, draw_crop
from client.data.preprocessing import PreparedCase
from client.learning.cancellation import Check, never_cancelled
from client.local_terms.contract import LocalTerm, warm_up
from fusion_models.adapters.gain import pin_gain
from fusion_models.losses import deeply_supervised, every_scale
from fusion_models.modality import draw_setting, renormalise, restrict, settings_of
from protocol.errors import ModelError
from protocol.messages.settings import Training


@dataclass(frozen=True)
class Trained:
    """Mean loss over the steps, and per modality setting the names of the cases that ran under it."""

    loss: float
    used: Mapping[str, frozenset[str]]


def train_locally(
    model: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    cases: Sequence[PreparedCase],
    *,
    training: Training,
    model_settings: Sequence[str],
    crop_zyx: Sequence[int],
    rng: np.random.Generator,
    terms: Sequence[LocalTerm] = (),
    check: Check = never_cancelled,
) -> Trained:
    """Run `training.local_steps` steps of AdamW on `parameters`; everything else of the model stays.

    The optimiser starts afresh each round, with a short warm-up: no state of a center outlives a round, so that
    a resumed study repeats it exactly. Each step draws one modality setting for its whole batch (PEMMA);
    a step whose setting reaches nothing that trains moves nothing, its loss counts all the same.
    `terms` add to the objective; the reported loss is the segmentation's alone. A DoRA magnitude that is frozen while
    its factors train follows them: the row gain stays. `check` is called before each step.

    Raises:
        ModelError: no case serves any modality share, or the loss is no longer finite.
        CancelledError: `check` raised it.
    """
    by_setting = cases_by_setting(cases, training, model_settings)
    shares, optimiser = renormalise(training.modality_shares, by_setting), _adam_w(parameters, training)
    used, losses, gain = defaultdict[str, set[str]](set), [], pin_gain(model)
    model.train()
    with seed_torch(rng, model):
        for step in range(training.local_steps):
            check()
            setting = draw_setting(shares, rng)
            batch = draw_batch(by_setting[setting], training.batch_size, crop_zyx, rng)
            _set_rate(optimiser, warm_up(training.learning_rate, step))
            losses.append(_step(model, optimiser, setting, batch, terms))
            gain.restore()
            for term in terms:
                term.after_step()
            used[setting].update(case.name for case in batch)
    return Trained(float(np.mean(losses)), {name: frozenset(cases) for name, cases in used.items()})


@contextmanager
def seed_torch(rng: np.random.Generator, model: nn.Module) -> Iterator[None]:
    """torch draws (DropPath) from a child of `rng` within; its own generators continue afterwards as if nothing ran."""
    devices = sorted({str(parameter.device) for parameter in model.parameters() if parameter.is_cuda})
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(rng.spawn(1)[0].integers(2**63)))
        yield


def cases_by_setting(
    cases: Sequence[PreparedCase], training: Training, model_settings: Sequence[str]
) -> dict[str, list[PreparedCase]]:
    """The cases that can serve each setting which the stage trains on and the model can run."""
    wanted = {str(setting) for setting, share in training.modality_shares.items() if share > 0} & set(model_settings)
    found = {setting: [case for case in cases if setting in settings_of(case.modalities)] for setting in sorted(wanted)}
    served = {setting: able for setting, able in found.items() if able}
    if not served:
        raise ModelError(f"no training case serves any of the stage's modality settings {sorted(wanted)}")
    return served


def draw_batch(
    cases: Sequence[PreparedCase], size: int, crop_zyx: Sequence[int], rng: np.random.Generator
) -> list[PreparedCase]:
    """`size` random crops of randomly drawn cases."""
    drawn = [cases[int(rng.integers(len(cases)))] for _ in range(size)]
    return [apply_crop(case, draw_crop(shape_of(case), crop_zyx, rng)) for case in drawn]


def shape_of(case: PreparedCase) -> tuple[int, ...]:
    """The grid of a case, voxels along z, y, x."""
    image = case.ct if case.ct is not None else case.pet
    if image is None:
        raise ValueError(f"case '{case.name}' has neither CT nor PET")
    return image.shape


def _adam_w(parameters: Mapping[str, nn.Parameter], training: Training) -> torch.optim.Optimizer:
    return torch.optim.AdamW(list(parameters.values()), lr=training.learning_rate, weight_decay=training.weight_decay)


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def _step(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    setting: str,
    batch: Sequence[PreparedCase],
    terms: Sequence[LocalTerm],
) -> float:
    device = next(model.parameters()).device
    ct, pet, _ = restrict(setting, *(_stack([getattr(case, name) for case in batch], device) for name in ("ct", "pet")))
    label = _stack([case.gtv for case in batch], device)
    if label is None:
        raise ModelError(f"training case(s) {[case.name for case in batch]} have no contour")
    for term in terms:
        term.remember(ct, pet, label)
    optimiser.zero_grad(set_to_none=True)
    scales = every_scale(model, ct, pet)
    loss = deeply_supervised(scales, label)
    found = [term.penalty(setting, ct, pet, scales[0]) for term in terms]
    penalties = [penalty for penalty in found if penalty is not None]
    objective = loss.detach() + sum(penalty.detach() for penalty in penalties)
    if not torch.isfinite(objective):
        names = [case.name for case in batch]
        raise ModelError(f"training loss became {objective.item()} on cases {names}; lower the rate")
    if loss.requires_grad:
        _backward(loss, penalties, optimiser)
        for term in terms:
            term.adjust_gradients()
        optimiser.step()
    return float(loss.item())


def _backward(loss: Tensor, penalties: Sequence[Tensor], optimiser: torch.optim.Optimizer) -> None:
    """Gradients of the whole objective, for the tensors that the batch's forward pass used.

    A penalty reaches the PET pathway in a CT-only step too; a gradient there, even of zeros, would let weight decay
    move a tensor that has no case behind it.
    """
    loss.backward(retain_graph=bool(penalties))
    if penalties:
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        idle = [parameter for parameter in parameters if parameter.grad is None]
        torch.stack(tuple(penalties)).sum().backward()
        for parameter in idle:
            parameter.grad = None


def _stack(arrays: Sequence[NDArray[Any] | None], device: torch.device) -> Tensor | None:
    """Arrays (z, y, x) as one batch (b, 1, z, y, x); None where any is absent."""
    present = [array for array in arrays if array is not None]
    if len(present) < len(arrays):
        return None
    stacked = torch.from_numpy(np.stack(present)[:, None].astype(np.float32))
    return stacked.to(device, memory_format=torch.channels_last_3d)
