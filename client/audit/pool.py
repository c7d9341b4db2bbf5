"""The cases that an audit looks at: those that may have trained, and those that never did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from client.data.manifest import Manifest
from client.data.preprocessing import PreparedCase
from client.tasks.contract import CenterTask, with_target
from protocol.errors import TooFewError
from protocol.messages.instruction import Part
from strategies.evaluation.matrix import Floats
from strategies.evaluation.membership import FEWEST_PATIENTS, Members

PARTS: tuple[Part, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Scored:
    """Whom an attack has a score of: the names of the cases of each patient who trained, and of each who did not."""

    members: tuple[tuple[str, ...], ...]
    others: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class AuditPool:
    """Cases with the task's target, in name order; whose each is, and whether that patient's cases train."""

    cases: tuple[PreparedCase, ...]
    patients: tuple[str, ...]
    trains: tuple[bool, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The patients, each once, sorted."""
        return tuple(sorted(set(self.patients)))

    @property
    def members(self) -> Members:
        """Of each of `names` whether the patient trains."""
        training = {patient for patient, trains in zip(self.patients, self.trains, strict=True) if trains}
        return np.array([name in training for name in self.names], dtype=np.bool_)

    def of_patients(self, wanted: Sequence[str]) -> list[PreparedCase]:
        """The cases of some patients."""
        return [case for case, patient in zip(self.cases, self.patients, strict=True) if patient in set(wanted)]

    def scored(self, scores: Floats) -> Scored:
        """The patients whose score, (patients,) in the order of `names`, is a number."""
        cases = dict[str, tuple[str, ...]]()
        for case, patient in zip(self.cases, self.patients, strict=True):
            cases[patient] = (*cases.get(patient, ()), case.name)
        known, members = np.isfinite(scores), self.members
        inside, outside = (
            tuple(cases[name] for name, wanted in zip(self.names, group, strict=True) if wanted)
            for group in (known & members, known & ~members)
        )
        return Scored(inside, outside)

    @property
    def training(self) -> list[PreparedCase]:
        """The cases that train."""
        return [case for case, trains in zip(self.cases, self.trains, strict=True) if trains]


def gather(
    manifest: Manifest, parts: Mapping[Part, Sequence[PreparedCase]], task: CenterTask, fewest: int = FEWEST_PATIENTS
) -> AuditPool:
    """The pool of a center: its training cases, and the cases of other parts beside them.

    Parts are drawn by folder, so that a patient with cases in two folders may train and test. Such a patient trained,
    and the cases that did not are looked at by nobody.

    Args:
        manifest: says whose a case is.
        parts: the prepared cases of each part that may be looked at.
        task: whose target a case must have.
        fewest: patients of either kind; fewer than `FEWEST_PATIENTS` can never be told apart.

    Raises:
        TooFewError: too few patients of either kind.
    """
    owner = manifest.patients
    found = [(case, part == "train") for part, cases in parts.items() for case in with_target(task, cases)]
    training = {owner[case.name] for case, trains in found if trains}
    clear = [(case, trains) for case, trains in found if trains or owner[case.name] not in training]
    kept = sorted(clear, key=lambda row: row[0].name)
    patients = tuple(owner[case.name] for case, _ in kept)
    pool = AuditPool(tuple(case for case, _ in kept), patients, tuple(trains for _, trains in kept))
    members = int(pool.members.sum())
    others = len(pool.names) - members
    needed = max(fewest, FEWEST_PATIENTS)
    if min(members, others) < needed:
        raise TooFewError(
            f"an audit tells patients who trained from others: {members} with the target of {task.name} trained, "
            f"{others} did not, {needed} of each are needed; wait until more patients have come"
        )
    return pool
