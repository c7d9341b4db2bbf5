"""Local training of one round: which tensors move, on which modalities, and which cases really moved them."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from client.data.preprocessing import PreparedCase
from client.learning.cancellation import Check, never_cancelled
from client.learning.prefetching import prefetch
from client.learning.stepping import take_step
from client.local_terms.contract import LocalTerm
from client.optimisation.average import Average
from client.optimisation.moments import FRESH, Moments
from client.optimisation.optimiser import Optimiser
from client.tasks.contract import Batch, CenterTask, with_target
from client.tasks.precision import choose_precision, compute_in
from fusion_models.adapters.gain import PinnedGain, pin_gain
from fusion_models.modality import draw_setting, renormalise
from protocol.errors import ModelError
from protocol.messages.settings import Training
from protocol.modalities import settings_within
from protocol.tasks import TASKS

T = TypeVar("T")


@dataclass(frozen=True)
class Trained:
    """Mean loss over the steps, and per modality setting the names of the cases that ran under it.

    A private round has no loss, and names every case that could have run.

    loss_error: standard error of the mean loss; steps: how many there were. moments: of the optimiser, where a recipe
    keeps them, those that the round did not touch included.
    """

    loss: float | None
    used: Mapping[str, frozenset[str]]
    loss_error: float = 0.0
    steps: int = 1
    moments: Moments = field(default_factory=dict)


def train_locally(
    model: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    cases: Sequence[PreparedCase],
    *,
    task: CenterTask,
    training: Training,
    model_settings: Sequence[str],
    rng: np.random.Generator,
    terms: Sequence[LocalTerm] = (),
    check: Check = never_cancelled,
    moments: Moments = FRESH,
) -> Trained:
    """Run `training.local_steps` steps of AdamW on `parameters` for a task; everything else of the model stays.

    The rate warms up over the first few steps. Each step draws one modality setting for its whole batch (PEMMA);
    a step whose setting reaches nothing that trains moves nothing, its loss counts all the same.
    `terms` add to the objective; the reported loss is the task's alone. A DoRA magnitude that is frozen while
    its factors train follows them: the row gain stays, in the average of a recipe with `ema` too, which is what the
    parameters hold at the end. The optimiser goes on with `moments`, or starts afresh where there are none.
    `check` is called before each step.

    Raises:
        ModelError: no case has the task's target, none serves any modality share, or the loss is no longer finite.
        CancelledError: `check` raised it.
    """
    usable = _usable(task, cases)
    task, device = task.fitted_to(usable), next(model.parameters()).device
    by_setting = cases_by_setting(usable, training, [name for name in model_settings if task.runs(name)])
    precision = compute_in(choose_precision(training.recipe.precision, str(device), "training"), str(device))
    used = defaultdict[str, set[str]](set)

    def take(optimiser: Optimiser, batch: Batch) -> float:
        loss = take_step(model, optimiser, task, batch, terms, precision)
        used[batch.setting].update(batch.cases)
        return loss

    batches = draw_batches(task, by_setting, training, device, rng)
    losses, kept = run_steps(model, parameters, training, batches, take, rng, terms, check, moments)
    return _trained(losses, used, kept)


def run_steps(
    model: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    training: Training,
    steps: Iterator[T],
    take: Callable[[Optimiser, T], float | None],
    rng: np.random.Generator,
    terms: Sequence[LocalTerm],
    check: Check,
    moments: Moments,
) -> tuple[list[float], Moments]:
    """Take every step, and what goes around each: rates, cancellation, frozen gains, local terms, the moving average.

    Args:
        model: the network, which is left in training mode.
        parameters: what trains, by key.
        training: of the round.
        steps: what each step sees, drawn one ahead.
        take: one step; its loss, None where it has none.
        rng: torch draws from a child of it.
        terms: whose `after_step` is run.
        check: called before each step.
        moments: that the optimiser goes on with.

    Returns:
        The losses, and the moments to keep, none unless the recipe keeps them.
    """
    optimiser = Optimiser(parameters, training, moments)
    average = Average(parameters, training.recipe.ema) if training.recipe.ema else None
    losses, gain = list[float | None](), pin_gain(model)
    model.train()
    with seed_torch(rng, model), prefetch(steps) as ahead:
        for number, step in enumerate(ahead):
            check()
            optimiser.begin_step(number)
            losses.append(take(optimiser, step))
            _follow(gain, terms, average)
    if average:
        average.put_in_place()
        gain.restore()
    kept = {**moments, **optimiser.moments()} if training.recipe.optimiser == "kept" else FRESH
    return [loss for loss in losses if loss is not None], kept


def _trained(losses: Sequence[float], used: Mapping[str, Collection[str]], moments: Moments) -> Trained:
    error = float(np.std(losses) / np.sqrt(len(losses)))
    cases = {name: frozenset(found) for name, found in used.items()}
    return Trained(float(np.mean(losses)), cases, error, len(losses), moments)


def draw_batches(
    task: CenterTask,
    by_setting: Mapping[str, Sequence[PreparedCase]],
    training: Training,
    device: torch.device,
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """A batch for each step, one after another, each of one modality setting."""
    shares = renormalise(training.modality_shares, by_setting)
    for _ in range(training.local_steps):
        setting = draw_setting(shares, rng)
        yield task.draw_batch(by_setting[setting], setting, training.batch_size, device, rng)


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
    """The cases that can serve each setting which the stage trains on and the model can run.

    Raises:
        ModelError: none serves any.
    """
    wanted = {str(setting) for setting, share in training.modality_shares.items() if share > 0} & set(model_settings)
    found = {
        setting: [case for case in cases if setting in settings_within(case.modalities)] for setting in sorted(wanted)
    }
    served = {setting: able for setting, able in found.items() if able}
    if not served:
        raise ModelError(f"no training case serves any of the stage's modality settings {sorted(wanted)}")
    return served


def _usable(task: CenterTask, cases: Sequence[PreparedCase]) -> list[PreparedCase]:
    """The cases with the task's target, of which there must be one."""
    found = with_target(task, cases)
    if not found:
        raise ModelError(
            f"none of {len(cases)} training case(s) has {TASKS[task.name].target}, which {task.name} needs"
        )
    return found


def _follow(gain: PinnedGain, terms: Sequence[LocalTerm], average: Average | None) -> None:
    """What follows the optimiser's step; local terms see the step's state, not the average."""
    gain.restore()
    for term in terms:
        term.after_step()
    if average:
        average.take_in()
