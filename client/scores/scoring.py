"""Scores of cases under networks, each computed once: what is scored is named by everything that decides the outcome.

A network is named by the content hashes of its tensors and backbone and by the study's settings; prediction draws
nothing. A state that did not change since it was scored (after a stage that the gate turned away, or for a center that
took no part) therefore has the scores it had, to the last bit.
"""

import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from client.data.preprocessing import PreparedCase
from client.learning.assembly import assemble
from client.learning.cancellation import Check, never_cancelled
from client.tasks.contract import CaseScore, CenterTask, runnable_settings, with_target
from client.tasks.margins import Margins
from fusion_models.model_row import ModelRow
from protocol.messages.scores import Score
from protocol.messages.settings import StudySettings
from protocol.messages.tensors import Tensors, content_hash, is_statistic
from protocol.modalities import SETTINGS, ModalitySetting

KEPT_SCORES = 4096


@dataclass(frozen=True)
class Network:
    """What describes a network; `model` is assembled when it is first asked for.

    row: of the settings' model.
    tensors: adapter and pathway tensors; statistics among them are not loaded.
    backbone_hash: content hash of `backbone`.
    """

    settings: StudySettings
    row: ModelRow
    backbone: Tensors
    backbone_hash: str
    tensors: Tensors
    device: str

    @cached_property
    def model(self) -> nn.Module:
        """The network, one for all who ask."""
        return self.variant(self.tensors)

    def variant(self, tensors: Tensors) -> nn.Module:
        """A new network with other tensors on the same backbone."""
        return assemble(self.settings, self.row, self.backbone, tensors, device=self.device)

    @cached_property
    def adapter_hash(self) -> str:
        """Content hash of what lies on the backbone, as the adapter bank has it."""
        return content_hash({key: array for key, array in self.tensors.items() if not is_statistic(key)})

    @cached_property
    def name(self) -> str:
        """SHA-256 over everything that a prediction depends on, as hex."""
        parts = (self.settings.model_dump_json(), self.backbone_hash, self.adapter_hash)
        return hashlib.sha256("|".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Scored:
    """One case under one modality setting, with the array that the task predicted, compressed.

    diagnostics: what the network told about its inside while it predicted; empty where it tells nothing. margins: how
    sure a mask is near the lesion; None where the task's answer is none.
    """

    score: CaseScore
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    prediction: bytes
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    margins: Margins | None = None

    @property
    def predicted(self) -> NDArray[Any]:
        """The task's prediction."""
        return np.frombuffer(zlib.decompress(self.prediction), dtype=self.dtype).reshape(self.shape)


class ScoreCache:
    """The latest scores of a center, by network, task, case and modality setting. Score a network before it trains."""

    def __init__(self, size: int = KEPT_SCORES) -> None:
        self._size = size
        self._rows: OrderedDict[tuple[str, str, str, str], Scored] = OrderedDict()

    def scores(
        self,
        network: Network,
        task: CenterTask,
        cases: Sequence[PreparedCase],
        wanted: Sequence[str],
        check: Check = never_cancelled,
    ) -> Iterator[Scored]:
        """Each case with the target under every setting that task, case, model and `wanted` allow, the fullest last."""
        able = set(network.row.settings) & set(wanted)
        for case in with_target(task, cases):
            for setting in runnable_settings(task, case, able):
                check()
                yield self.score(network, task, case, setting)

    def fullest(
        self,
        network: Network,
        task: CenterTask,
        cases: Sequence[PreparedCase],
        check: Check = never_cancelled,
        wanted: Sequence[str] | None = None,
    ) -> dict[str, CaseScore]:
        """The scores of `scored_fullest`, by the case's name."""
        return {row.score.case: row.score for row in self.scored_fullest(network, task, cases, check, wanted)}

    def scored_fullest(
        self,
        network: Network,
        task: CenterTask,
        cases: Sequence[PreparedCase],
        check: Check = never_cancelled,
        wanted: Sequence[str] | None = None,
    ) -> Iterator[Scored]:
        """Each case with the target under the fullest setting that task, case, model and `wanted` allow."""
        able = set(network.row.settings) & set(network.row.settings if wanted is None else wanted)
        for case in with_target(task, cases):
            for setting in runnable_settings(task, case, able)[-1:]:
                check()
                yield self.score(network, task, case, setting)

    def score(self, network: Network, task: CenterTask, case: PreparedCase, setting: str) -> Scored:
        """One case under one setting: as it was scored before, or scored now."""
        key = (network.name, task.name, case.name, setting)
        if key not in self._rows:
            self._rows[key] = score_now(network, task, case, setting)
        self._rows.move_to_end(key)
        while len(self._rows) > self._size:
            self._rows.popitem(last=False)
        return self._rows[key]


def score_now(network: Network, task: CenterTask, case: PreparedCase, setting: str) -> Scored:
    """Score a case, watched by what the model's row names."""
    diagnostics = network.row.diagnostics()
    with diagnostics.observe(network.model):
        found, margins = task.examine(network.model, case, setting)
    predicted = np.ascontiguousarray(found)
    packed, told = zlib.compress(predicted.tobytes(), level=1), diagnostics.summary()
    return Scored(task.score(case, setting, predicted), predicted.shape, predicted.dtype, packed, told, margins)


def by_setting(task: CenterTask, rows: Sequence[CaseScore]) -> dict[ModalitySetting, Score]:
    """The task's score for each modality setting that any case was scored under."""
    found = {name: [row for row in rows if row.modalities == name] for name in SETTINGS}
    return {name: task.summarise(of_setting) for name, of_setting in found.items() if of_setting}


def scores_of(rows: Mapping[CenterTask, Sequence[CaseScore]]) -> dict[ModalitySetting, Score]:
    """One score for each modality setting over all tasks.

    Its cases are those that any task scored; for a task that scored fewer the others count as undefined.
    """
    by_task = [by_setting(task, of_task) for task, of_task in rows.items()]
    found: dict[ModalitySetting, Score] = {}
    for setting in SETTINGS:
        parts = [scores[setting] for scores in by_task if setting in scores]
        cases = {row.case for of_task in rows.values() for row in of_task if row.modalities == setting}
        if parts:
            found[setting] = merge(parts, len(cases))
    return found


def case_scores(scored: Mapping[CenterTask, Sequence[Scored]]) -> dict[CenterTask, list[CaseScore]]:
    """The scores by task, without the predictions."""
    return {task: [found.score for found in of_task] for task, of_task in scored.items()}


def merge(parts: Sequence[Score], cases: int) -> Score:
    """The figures of several tasks as one score over `cases`, on all of which no figure needs to stand."""
    values = {name: value for part in parts for name, value in part.values.items()}
    undefined = {name: cases - part.behind(name) for part in parts for name in part.values}
    rarest = {name: count for part in parts for name, count in part.rarest.items()}
    return Score(cases, values, undefined, rarest)


def mean_diagnostics(scored: Iterable[Scored]) -> dict[str, float]:
    """Each diagnostic's mean over the cases that have any, by name; a network's cases all have the same."""
    rows = [found.diagnostics for found in scored if found.diagnostics]
    return {name: float(np.mean([row[name] for row in rows])) for name in sorted(rows[0])} if rows else {}
