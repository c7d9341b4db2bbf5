"""What a stage trains where the study file does not say: tensor groups by kind and task, and shares of modalities.

Coordinator and center read the same table: one to instruct, the other to tell beforehand what a round will take.
"""

from collections.abc import Collection, Mapping
from typing import Literal, cast

from protocol.messages.settings import Group
from protocol.messages.tensors import EHR
from protocol.modalities import ModalitySetting
from protocol.tasks import TASKS, TaskName

StageKind = Literal["pretrain", "adapt", "arrive"]
Shares = dict[ModalitySetting, float]

TRAINED: Mapping[StageKind, tuple[Group, ...]] = {
    "pretrain": ("backbone",),
    "adapt": ("pet", "fusion", "peft"),
    "arrive": ("peft",),
}
TRAIN_WHAT_THE_TASK_ADDS: frozenset[StageKind] = frozenset({"pretrain", "adapt"})
"""Kinds of stages that also train the groups of their task; a center that arrives fits the adapter alone."""
OF_IMAGES: Shares = {"ct+pet": 0.6, "ct": 0.2, "pet": 0.2}
MODALITY_SHARES: Mapping[StageKind, Shares] = {"pretrain": {"ct": 1.0}, "adapt": OF_IMAGES, "arrive": OF_IMAGES}
SHARES_WITH_EHR: Shares = {
    "ct+pet+ehr": 0.4,
    "ct+pet": 0.2,
    "ct+ehr": 0.1,
    "ct": 0.1,
    "pet+ehr": 0.05,
    "pet": 0.05,
    "ehr": 0.1,
}
"""In place of `OF_IMAGES` where the task reads EHR and a center of the stage offers it: each input of images keeps its
place, twice as often with EHR as without where it is whole, as often where it is not."""


def usual_groups(kind: StageKind, task: TaskName) -> tuple[Group, ...]:
    """The groups of shared tensors that a stage trains which names none."""
    added = TASKS[task].groups if kind in TRAIN_WHAT_THE_TASK_ADDS else ()
    return (*TRAINED[kind], *cast("tuple[Group, ...]", added))


def reads_ehr(task: TaskName) -> bool:
    """Whether EHR can say something about what a task trains for."""
    return EHR in TASKS[task].groups


def usual_shares(kind: StageKind, task: TaskName, offered: Collection[str]) -> Shares:
    """The shares of modality settings of a stage that names none; `offered`: the modalities of its centers."""
    usual = MODALITY_SHARES[kind]
    return SHARES_WITH_EHR if usual is OF_IMAGES and reads_ehr(task) and EHR in offered else usual
