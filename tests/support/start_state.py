"""The initial state of the small study, and what its stages ask of a center."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deploy.study.prepare import initial_state
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.settings import StudySettings
from protocol.messages.tensors import BACKBONE, TensorSpec, content_hash
from server.study.file import Study

CONTROLS = ("control", "shared-control")


class Start:
    """The initial state of the study, split as the adapt stage sees it."""

    def __init__(self, study: Study) -> None:
        self.specs, initial, _ = initial_state(study)
        groups = {spec.key: spec.group for spec in self.specs}
        self.backbone = {key: array for key, array in initial.items() if groups[key] == BACKBONE}
        self.rest = {key: array for key, array in initial.items() if groups[key] != BACKBONE}
        self.hash = content_hash(self.backbone)
        self.study = study

    def exchanged(self, *groups: str) -> list[TensorSpec]:
        return [spec for spec in self.specs if spec.group in groups]

    @property
    def personal(self) -> StudySettings:
        """The study's settings with everything that can be personal."""
        return self.study.settings.model_copy(update={"personal": ("center", "norm")})

    @property
    def controls(self) -> dict[str, NDArray[np.float32]]:
        """Control variates of zero for what trains."""
        return {f"{key}@{name}": np.zeros_like(self.rest[key]) for key in self.rest for name in CONTROLS}

    def training(self, **changes: Any) -> Instruction:
        """The adapt stage's instruction with other training settings."""
        asked = self.instruction()
        assert asked.training is not None
        return replace(asked, training=asked.training.model_copy(update=changes))

    def instruction(self, kind: Kind = "train", stage: int = 1, *, send: bool = True) -> Instruction:
        return Instruction(
            kind=kind,
            settings=self.study.settings,
            stage=self.study.stages[stage].name,
            server_round=3,
            backbone_hash=self.hash,
            training=self.study.training_in(self.study.stages[stage], 0) if kind == "train" else None,
            tensors=self.rest,
            backbone=self.backbone if send else {},
        )
