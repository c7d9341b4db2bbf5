"""What a round of a stage takes on this machine: a few steps of the study's own model are run and timed, not guessed.

    round  =  (local_steps + alone_steps) * step  +  validations * prediction
    memory =  peak of the process that ran the steps  +  the prepared cases that it did not load

The steps are those that a trainer takes, on the center's own cases at the study's crop and batch, from a network drawn
from the study's seed; they run in a process of their own, so that its peak is that of this work alone. The first step,
which allocates, is not timed. An adapter that the center trains alone beside the study takes as many steps as it does
in the study, and as long for each. A second center, or a busier machine, takes longer.
"""

import multiprocessing
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

from client.data.manifest import Case
from client.data.preprocessing import PreparedCase, prepare_case
from client.data.targets import add_labels
from client.learning.assembly import build, inject_adapter, row_of
from client.learning.trainable import train_only
from client.learning.training import train_locally
from client.tasks.building import build_task
from client.tasks.contract import CenterTask, runnable_settings, with_target
from fusion_models.model_row import ModelRow
from protocol.errors import ModelError
from protocol.messages.reference import trains_alone
from protocol.messages.settings import StudySettings, Training
from protocol.messages.tensors import BACKBONE, PEFT, groups_reached
from protocol.modalities import Modality
from protocol.tasks import TaskName

TIMED_STEPS = 3
LOADED_CASES = 3
PEAK = "VmHWM:"


@dataclass(frozen=True)
class RoundWork:
    """What is to be measured of one stage.

    training: as the stage's instruction would say. modalities: what the center offers. train, validation: its cases.
    """

    stage: str
    task: TaskName
    settings: StudySettings
    training: Training
    modalities: tuple[Modality, ...]
    train: tuple[Case, ...]
    validation: tuple[Case, ...]


@dataclass(frozen=True)
class RoundCost:
    """What was measured of a stage.

    step_s: of one step. prediction_s: of one case under one modality setting, 0 without validation. predictions: of a
    round. peak_bytes: main memory of a trainer with all training and validation cases, of which loaded_cases were
    measured. alone_steps: of the adapter that the center trains alone beside the study.
    """

    stage: str
    local_steps: int
    step_s: float
    prediction_s: float
    predictions: int
    peak_bytes: int
    loaded_cases: int
    alone_steps: int = 0

    @property
    def minutes(self) -> float:
        """Of one round."""
        return ((self.local_steps + self.alone_steps) * self.step_s + self.predictions * self.prediction_s) / 60


def measure_apart(work: RoundWork) -> RoundCost:
    """`measure_round` in a process of its own.

    Raises:
        ModelError: as there, or the process was killed: by the system, where memory does not suffice.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(measure_round, work).result()
        except BrokenProcessPool as error:
            raise ModelError(
                f"stage '{work.stage}': the process that ran its steps was killed; a batch of "
                f"{work.training.batch_size} crops probably needs more memory than this machine has free"
            ) from error


def measure_round(work: RoundWork) -> RoundCost:
    """Run a few steps and one prediction of a stage.

    Raises:
        ModelError: the stage cannot be trained with these cases, or trains nothing here.
        CaseError: a case cannot be read.
    """
    settings, row = work.settings, row_of(work.settings)
    task = build_task(work.task, settings, work.training.recipe)
    loaded = [_prepare(case, settings) for case in work.train[:LOADED_CASES]]
    model, live = _network(work, row)
    step_s = _time_steps(work, model, live, loaded, task, row)
    validation = [_prepare(case, settings) for case in work.validation[:1]]
    prediction_s = _time_prediction(model, task, validation, row)
    cases = with_target(task, validation)
    each = len(runnable_settings(task, cases[0], _wanted(work, row))) if cases else 0
    in_memory = [*loaded, *validation]
    others = len(work.train) + len(work.validation) - len(in_memory)
    mean_bytes = int(np.mean([_bytes_of(case) for case in in_memory]))
    predictions = each * len(work.validation) if work.training.validate_first else 0
    peak = _peak_bytes() + others * mean_bytes
    steps, alone = work.training.local_steps, _alone_steps(work)
    return RoundCost(work.stage, steps, step_s, prediction_s, predictions, peak, len(in_memory), alone)


def _alone_steps(work: RoundWork) -> int:
    """As many as the round has, where the study asks and the round is one that moves what lies on the backbone."""
    trains = trains_alone(work.settings.reference) and BACKBONE not in work.training.groups
    return work.training.local_steps if trains else 0


def _network(work: RoundWork, row: ModelRow) -> tuple[nn.Module, Mapping[str, nn.Parameter]]:
    """The study's network as it is drawn, and what the stage trains of it here."""
    model = build(work.settings, row)
    if PEFT in work.training.groups and row.adapter_targets:
        inject_adapter(model, work.settings, row)
    own = groups_reached(work.training.groups, work.modalities)
    live = train_only(model, own, row.pathways, work.training.roles)
    if not live:
        raise ModelError(
            f"stage '{work.stage}' trains nothing at this center: it owns none of {list(work.training.groups)}"
        )
    return model, live


def _time_steps(
    work: RoundWork,
    model: nn.Module,
    live: Mapping[str, nn.Parameter],
    cases: Sequence[PreparedCase],
    task: CenterTask,
    row: ModelRow,
) -> float:
    """Seconds of a step, the first of all left out."""
    rng, seconds = np.random.default_rng(work.settings.seed), 0.0
    for steps in (1, TIMED_STEPS):
        training = replace_steps(work.training, steps)
        start = time.perf_counter()
        train_locally(model, live, cases, task=task, training=training, model_settings=row.settings, rng=rng)
        seconds = time.perf_counter() - start
    return seconds / TIMED_STEPS


def _time_prediction(model: nn.Module, task: CenterTask, cases: Sequence[PreparedCase], row: ModelRow) -> float:
    """Seconds of a prediction under the fullest setting; 0 without a case."""
    for case in with_target(task, cases):
        for setting in runnable_settings(task, case, row.settings)[-1:]:
            start = time.perf_counter()
            task.predict(model, case, setting)
            return time.perf_counter() - start
    return 0.0


def replace_steps(training: Training, steps: int) -> Training:
    """The same training of other length, without local terms: they act on what the coordinator sends."""
    return training.model_copy(update={"local_steps": steps, "terms": {}})


def _wanted(work: RoundWork, row: ModelRow) -> list[str]:
    return [name for name, share in work.training.modality_shares.items() if share > 0 and name in row.settings]


def _prepare(case: Case, settings: StudySettings) -> PreparedCase:
    images = prepare_case(case.name, case.paths, settings.preprocessing)
    return add_labels(images, case.labels)


def _bytes_of(case: PreparedCase) -> int:
    arrays = [array for array in (case.ct, case.pet, *case.targets.values()) if array is not None]
    return sum(array.nbytes for array in arrays)


def _peak_bytes() -> int:
    """The largest resident set of this process: since it was started, unlike what `getrusage` says after a fork."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    (kilobytes,) = [line.split()[1] for line in lines if line.startswith(PEAK)]
    return int(kilobytes) * 1024
