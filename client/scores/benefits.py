"""What federation brought a center: what it is served beside its own arm and beside the CT network, by test case.

Every number is of the same cases under both: the primary metric of a task, from one modality setting of what is served,
and from the same of the arm, or from the CT alone of the network without adapters. A network whose head for cases no
stage has trained answers nothing, so that the CT network is no reference for tasks that have one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from client.data.cohort import Cohort
from client.data.preprocessing import PreparedCase
from client.learning.assembly import HEAD_OUTPUTS
from client.learning.cancellation import Check, never_cancelled
from client.scores.cohort_rows import level
from client.scores.scoring import Network, ScoreCache, Scored
from client.tasks.contract import CaseScore, CenterTask
from protocol.messages.benefit import NOTHING_DEFINES_IT, Against, Benefit
from protocol.messages.scores import Comparison
from protocol.modalities import SETTINGS, ModalitySetting

CT: ModalitySetting = "ct"
ByCase = Mapping[str, CaseScore]


@dataclass(frozen=True)
class References:
    """What a center is held against: its own arm, None where that has ended, and the backbone without adapters."""

    arm: Network | None
    backbone: Network


@dataclass(frozen=True)
class Told:
    """One benefit over all of the center's cases, which stays, and over whole blocks of them, which may leave."""

    own: Benefit
    leaving: Benefit


def tell_benefits(
    cache: ScoreCache,
    served: Mapping[CenterTask, Sequence[Scored]],
    references: References,
    cases: Sequence[PreparedCase],
    cohort: Cohort,
    rng: np.random.Generator,
    check: Check = never_cancelled,
) -> Iterator[Told]:
    """Compare what is served with each reference, for each task and modality setting that was scored.

    Args:
        cache: scores of the center.
        served: what is served, scored on `cases`.
        references: what it is held against.
        cases: test cases.
        cohort: the cases that figures may stand on.
        rng: for the resamples of cohorts.
        check: called before each case.
    """
    for task, rows in served.items():
        others = _others(cache, task, references, cases, check)
        for setting in SETTINGS:
            new = {row.score.case: row.score for row in rows if row.score.modalities == setting}
            for against, scored in others.items():
                old = {case: score for case, score in scored(setting).items() if case in new}
                if against == "local-only" and references.arm is None:
                    yield from _undefined(task, setting, against, len(new))
                elif old:
                    yield _tell(task, setting, against, {case: new[case] for case in old}, old, cohort, rng)


def _others(
    cache: ScoreCache, task: CenterTask, references: References, cases: Sequence[PreparedCase], check: Check
) -> "dict[Against, _Scores]":
    """What answers for each reference, by the setting that is asked for."""
    found: dict[Against, _Scores] = {"local-only": _Scores()}
    if references.arm is not None:
        found["local-only"] = _Scores(
            list(cache.scores(references.arm, task, cases, references.arm.row.settings, check))
        )
    backbone = references.backbone
    if not HEAD_OUTPUTS[task.name](backbone.settings.labels):
        found["ct-network"] = _Scores(list(cache.scores(backbone, task, cases, [CT], check)), CT)
    return found


@dataclass(frozen=True)
class _Scores:
    """Scores of a reference; `always`: the one setting that it is asked for, whatever what is served had."""

    rows: Sequence[Scored] = ()
    always: ModalitySetting | None = None

    def __call__(self, setting: ModalitySetting) -> ByCase:
        wanted = self.always or setting
        return {row.score.case: row.score for row in self.rows if row.score.modalities == wanted}


def _tell(
    task: CenterTask,
    setting: ModalitySetting,
    against: Against,
    new: ByCase,
    old: ByCase,
    cohort: Cohort,
    rng: np.random.Generator,
) -> Told:
    seen, before = level(task, new, cohort), level(task, old, cohort)
    left = seen.keys() & before.keys()
    leaving = task.compare(seen, before, rng) if left else None
    return Told(
        Benefit(task.name, setting, against, len(new), _with_error(task.compare(new, old, rng))),
        Benefit(task.name, setting, against, len(left), None if leaving is None else _with_error(leaving)),
    )


def _with_error(found: Comparison) -> Comparison:
    """An undefined difference has no error either."""
    return found if found.difference is not None else Comparison(found.cases, None, None, found.score)


def _undefined(task: CenterTask, setting: ModalitySetting, against: Against, cases: int) -> Iterator[Told]:
    """What is said of an arm that has ended."""
    if cases:
        found = Benefit(task.name, setting, against, cases, NOTHING_DEFINES_IT)
        yield Told(found, found)
