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

import numpy as np
from numpy.typing import NDArray
from torch import nn

from client.data.preprocessing import PreparedCase
from client.learning.assembly import assemble
from client.learning.cancellation import Check, never_cancelled
from client.scores.evaluation import score_case
from client.scores.metrics import CaseScore, summarise
from fusion_models.modality import runnable_settings
from fusion_models.registry import ModelRow
from protocol.messages.scores import Comparison, Score
from protocol.messages.settings import StudySettings
from protocol.messages.tensors import Tensors, content_hash, is_statistic
from protocol.modalities import SETTINGS, ModalitySetting
from strategies.continual.gate import bootstrap_means

KEPT_SCORES = 4096
REPLICATES = 1000


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
    def name(self) -> str:
        """SHA-256 over everything that a prediction depends on, as hex."""
        loaded = {key: array for key, array in self.tensors.items() if not is_statistic(key)}
        parts = (self.settings.model_dump_json(), self.backbone_hash, content_hash(loaded))
        return hashlib.sha256("|".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Scored:
    """One case under one modality setting, with its prediction (z, y, x) compressed.

    diagnostics: what the network told about its inside while it predicted; empty where it tells nothing.
    """

    score: CaseScore
    shape: tuple[int, ...]
    prediction: bytes
    diagnostics: Mapping[str, float] = field(default_factory=dict)

    @property
    def predicted(self) -> NDArray[np.uint8]:
        """Class index per voxel."""
        return np.frombuffer(zlib.decompress(self.prediction), dtype=np.uint8).reshape(self.shape)


class ScoreCache:
    """The latest scores of a center, by network, case and modality setting. Score a network before it trains."""

    def __init__(self, size: int = KEPT_SCORES) -> None:
        self._size = size
        self._rows: OrderedDict[tuple[str, str, str], Scored] = OrderedDict()

    def scores(
        self, network: Network, cases: Sequence[PreparedCase], wanted: Sequence[str], check: Check = never_cancelled
    ) -> Iterator[Scored]:
        """Each case under every setting that case, model and `wanted` allow, the fullest one last."""
        able = set(network.row.settings) & set(wanted)
        for case in cases:
            for setting in runnable_settings(case.modalities, able):
                check()
                yield self.score(network, case, setting)

    def fullest(
        self, network: Network, cases: Sequence[PreparedCase], check: Check = never_cancelled
    ) -> dict[str, CaseScore]:
        """Each case, by name, under the fullest setting that case and model allow."""
        found = {}
        for case in cases:
            for setting in runnable_settings(case.modalities, network.row.settings)[-1:]:
                check()
                found[case.name] = self.score(network, case, setting).score
        return found

    def score(self, network: Network, case: PreparedCase, setting: str) -> Scored:
        """One case under one setting: as it was scored before, or scored now."""
        key = (network.name, case.name, setting)
        if key not in self._rows:
            self._rows[key] = score_now(network, case, setting)
        self._rows.move_to_end(key)
        while len(self._rows) > self._size:
            self._rows.popitem(last=False)
        return self._rows[key]


def score_now(network: Network, case: PreparedCase, setting: str) -> Scored:
    """Score a case, watched by what the model's row names."""
    grid, diagnostics = network.settings.preprocessing, network.row.diagnostics()
    with diagnostics.observe(network.model):
        score, predicted = score_case(
            network.model, case, setting, crop_zyx=grid.crop_zyx, spacing_zyx_mm=grid.spacing_zyx_mm
        )
    return Scored(score, predicted.shape, zlib.compress(predicted.tobytes(), level=1), diagnostics.summary())


def by_setting(scores: Sequence[CaseScore]) -> dict[ModalitySetting, Score]:
    """Mean scores for each modality setting that any case was scored under."""
    found = {name: [score for score in scores if score.modalities == name] for name in SETTINGS}
    return {name: summarise(rows) for name, rows in found.items() if rows}


def mean_diagnostics(scored: Iterable[Scored]) -> dict[str, float]:
    """Each diagnostic's mean over the cases that have any, by name; a network's cases all have the same."""
    rows = [found.diagnostics for found in scored if found.diagnostics]
    return {name: float(np.mean([row[name] for row in rows])) for name in sorted(rows[0])} if rows else {}


def comparison_of(new: Mapping[str, CaseScore], old: Mapping[str, CaseScore], rng: np.random.Generator) -> Comparison:
    """Paired Dice differences new - old over the cases where both are defined, and bootstrap means of them."""
    pairs = [(new[case].dice, old[case].dice) for case in sorted(new.keys() & old.keys())]
    differences = np.array([after - before for after, before in pairs if after is not None and before is not None])
    if not differences.size:
        return Comparison(cases=0, difference=None)
    means = bootstrap_means(differences, replicates=REPLICATES, rng=rng)
    return Comparison(differences.size, float(differences.mean()), tuple(means.tolist()))
