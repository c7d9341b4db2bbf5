"""A federation in one process, some of whose centers lie: rounds as the coordinator takes them, without a network.

Every honest center trains with the product's own loop; admission, cuts, weights, rules and the scheme's arithmetic are
the product's too. What is left out are gate and rollback, which would hide what a rule lets through.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from client.data.preprocessing import PreparedCase, prepare_case
from client.learning.assembly import arrays_of, assemble, row_of
from client.learning.outcome import arrays_to_send
from client.learning.thin_groups import part_groups
from client.learning.trainable import train_only
from client.learning.training import train_locally
from client.tasks.building import build_task
from client.tasks.overlap import dice
from client.tasks.sliding_windows import predict_volume
from deploy.study.prepare import initial_state
from fusion_models.adapters.injection import load
from fusion_models.adapters.keys import parameters_by_key
from protocol.errors import QuorumError
from protocol.local_steps import reach_of
from protocol.messages.payload import Payload, phase_of
from protocol.messages.settings import Aggregation, Robust, Role, Training
from protocol.messages.tensors import BACKBONE, Tensors, group_in
from protocol.validation import update_norms
from server.rounds.clipping import FEWEST, FLOOR, clipped
from server.rounds.robustness import weigh_updates
from server.study.file import Study
from strategies.aggregation.clipping import shares_left
from strategies.aggregation.contract import Base
from strategies.aggregation.schemes import SCHEMES
from strategies.shares import capped_weights

TASK, SETTING = "segmentation", "ct+pet"
SCHEME = "alt-exact"
GROUPS = ("pet", "fusion", "peft")
SHARES = {"ct+pet": 0.6, "ct": 0.2, "pet": 0.2}
RATE, BATCH, TEST_SHARE = 2e-3, 2, 0.4

Change = Callable[[Payload, Mapping[str, NDArray[np.float32]]], Payload]
Poison = Callable[[PreparedCase, np.random.Generator], PreparedCase]


@dataclass(frozen=True)
class Attack:
    """What a liar does: to its cases before it trains, and to its update before it is sent.

    change: of a round's training, which says how far an update may go, so that a liar is admitted in every round.
    """

    poison: Poison | None = None
    change: Callable[[Training], Change] | None = None


@dataclass(frozen=True)
class Arm:
    """What the coordinator does: nothing but the mean of claims; what every study has; a rule on top of that."""

    protected: bool = True
    robust: Robust | None = None


@dataclass(frozen=True)
class Center:
    """Cases of one center; some test and never train."""

    name: str
    train: Sequence[PreparedCase]
    test: Sequence[PreparedCase]


@dataclass
class Outcome:
    """The shared tensors after the last round, and what each center weighed in each, by tensor group.

    refused: rounds whose rule had too few updates to stand on; the state before them was kept.
    """

    shared: dict[str, NDArray[np.float32]]
    weights: list[Mapping[str, Mapping[str, float]]] = field(default_factory=list)
    refused: int = 0


def split_centers(data: Path, count: int, study: Study) -> list[Center]:
    """So many centers of neighbours by name, so that a center has one or two of the real protocols."""
    folders = sorted(path for path in data.glob("center-*/*") if (path / "gtv.nii.gz").exists())
    found = []
    for number, part in enumerate(np.array_split(np.arange(len(folders)), count), 1):
        cases = [_prepare(folders[place], study) for place in part]
        tested = round(TEST_SHARE * len(cases))
        found.append(Center(f"center-{number}", cases[tested:], cases[:tested]))
    return found


def _prepare(folder: Path, study: Study) -> PreparedCase:
    paths = {name: folder / f"{name}.nii.gz" for name in ("ct", "pet", "gtv")}
    return prepare_case(folder.name, paths, study.settings.preprocessing)


class Federation:
    """Centers, a network and a backbone; `run` takes them from one start through rounds of an arm and an attack.

    Args:
        study: says network, grid and recipe.
        centers: the last `liars` of them lie.
        liars: how many.
        seed: of every draw.
    """

    def __init__(self, study: Study, centers: Sequence[Center], *, liars: int, seed: int) -> None:
        self.study, self.centers, self.seed = study, centers, seed
        self.honest, self.hostile = centers[: len(centers) - liars], centers[len(centers) - liars :]
        self.row, self.task = row_of(study.settings), build_task(TASK, study.settings, study.training)
        self.specs, initial, _ = initial_state(study)
        self.groups = {spec.key: spec.group for spec in self.specs}
        self.backbone = {key: array for key, array in initial.items() if self.groups.get(key) == BACKBONE}
        self.start = {key: array for key, array in initial.items() if key not in self.backbone}
        self._first: dict[str, Payload] = {}

    def learn_backbone(self, steps: int) -> None:
        """Train the CT network on the training cases of all centers together, before anybody lies."""
        model = assemble(self.study.settings, self.row, self.backbone, {})
        training = self._training((BACKBONE,), ROLES_OF_NONE, steps, RATE, {"ct": 1.0})
        cases = [case for center in self.centers for case in center.train]
        live = train_only(model, training.groups, self.row.pathways)
        self._train(model, live, cases, training, [self.seed])
        self.backbone = {
            key: array for key, array in arrays_of(parameters_by_key(model)).items() if key in self.backbone
        }

    def network(self, shared: Tensors) -> object:
        """The network with these shared tensors."""
        return assemble(self.study.settings, self.row, self.backbone, shared)

    def run(self, arm: Arm, attack: Attack, *, rounds: int, steps: int) -> Outcome:
        """All rounds of one arm against one attack."""
        model, outcome = self.network(self.start), Outcome(dict(self.start))
        for number in range(rounds):
            rate = RATE * (1 + math.cos(math.pi * number / rounds)) / 2
            roles = SCHEMES[SCHEME].live(number, Aggregation())
            training = self._training(GROUPS, roles, steps, rate, SHARES)
            payloads = [self._update(model, center, outcome.shared, training, number) for center in self.honest]
            for center in self.hostile:
                sent = self._update(model, self._poisoned(center, attack), outcome.shared, training, number)
                if attack.change is not None:
                    sent = attack.change(training)(sent, outcome.shared)
                payloads.append(sent)
            self._combine(outcome, payloads, training, arm)
        return outcome

    def score(self, shared: Tensors) -> dict[str, list[float]]:
        """Dice of the honest centers' test cases, CT with PET."""
        model = self.network(shared)
        return {
            center.name: [float(dice(self._mask(model, case), case.targets[TASK]) or 0.0) for case in center.test]
            for center in self.honest
        }

    @cached_property
    def start_scores(self) -> dict[str, list[float]]:
        """The scores before the first round."""
        return self.score(self.start)

    def fooled(self, shared: Tensors, planted: Sequence[tuple[PreparedCase, NDArray[np.bool_]]]) -> float:
        """Share of cases with a trigger in which at least half of the ball around it is called tumour."""
        model = self.network(shared)
        return float(np.mean([self._mask(model, case)[ball].mean() >= 0.5 for case, ball in planted]))

    def _mask(self, model: object, case: PreparedCase) -> NDArray[np.uint8]:
        settings = self.study.settings
        return predict_volume(model, case, SETTING, settings.preprocessing.crop_zyx, settings.prediction)

    def _poisoned(self, center: Center, attack: Attack) -> Center:
        if attack.poison is None:
            return center
        rng = np.random.default_rng([self.seed, len(center.train)])
        return replace(center, train=[attack.poison(case, rng) for case in center.train])

    def _update(self, model: object, center: Center, shared: Tensors, training: Training, number: int) -> Payload:
        """What a center sends after a round; the first round of who is honest is the same in all arms."""
        known = number == 0 and center in self.honest
        if known and center.name in self._first:
            return self._first[center.name]
        load(model, _torch(shared))
        live = train_only(model, training.groups, self.row.pathways, training.roles)
        place = next(place for place, other in enumerate(self.centers) if other.name == center.name)
        trained = self._train(model, live, center.train, training, [self.seed, number, place])
        support = part_groups(GROUPS, trained.used, 1).support
        tensors = arrays_to_send(live, (), self.specs, support)
        sent = Payload(center.name, "", "adapt", number, tensors, support, phase_of(training.roles))
        if known:
            self._first[center.name] = sent
        return sent

    def _train(self, model, live, cases, training, seed):  # noqa: ANN001, ANN202 - torch's modules go through
        return train_locally(
            model,
            live,
            cases,
            task=self.task,
            training=training,
            model_settings=self.row.settings,
            rng=np.random.default_rng(seed),
        )

    def _training(
        self, groups: Sequence[str], roles: Sequence[Role], steps: int, rate: float, shares: Mapping[str, float]
    ) -> Training:
        return Training.model_validate(
            {
                "groups": tuple(groups),
                "roles": tuple(roles),
                "local_steps": steps,
                "learning_rate": rate,
                "batch_size": BATCH,
                "modality_shares": dict(shares),
                "recipe": self.study.training,
            }
        )

    def _combine(self, outcome: Outcome, payloads: Sequence[Payload], training: Training, arm: Arm) -> None:
        """One round's aggregation, the next shared tensors put into `outcome`."""
        start = outcome.shared
        if arm.protected:
            payloads = [payload for payload in payloads if is_admitted(payload, start, training)]
            payloads = self._cut(payloads, start, training)
        base = self._base(payloads, training, arm)
        if arm.robust is not None:
            try:
                weighed = weigh_updates(start, lambda: payloads, base, arm.robust)
            except QuorumError:
                outcome.refused += 1
                return
            base, lengths = weighed.base, weighed.lengths
            payloads = [clipped(sent, start, lengths.get(sent.center, {}), self.groups) for sent in payloads]
        outcome.weights.append(base.weights)
        outcome.shared = SCHEMES[SCHEME].aggregate(start, payloads, base, {}).shared

    def _base(self, payloads: Sequence[Payload], training: Training, arm: Arm) -> Base:
        adapter = self.study.adapter
        base = Base(self.groups, self.backbone, adapter.alpha, adapter.rank, Aggregation(), training.roles)
        limits = {center.name: len(center.train) for center in self.centers}
        weights = {
            group: capped_weights(
                {sent.center: sent.support[group] for sent in payloads if group in sent.support},
                exponent=0.5,
                maximum_share=0.5 if arm.protected else 1,
                limits=limits if arm.protected else None,
                factor=4 if arm.protected else math.inf,
            )
            for group in GROUPS
        }
        return replace(base, weights=weights)

    def _cut(self, payloads: Sequence[Payload], start: Tensors, training: Training) -> list[Payload]:
        norms = {sent.center: update_norms(sent, start, self.specs) for sent in payloads}
        left: dict[str, dict[str, float]] = {}
        for group in GROUPS:
            lengths = {center: found[group] for center, found in norms.items() if group in found}
            floors = {sent.center: _floor(sent, group, self.groups, training) for sent in payloads}
            for center, part in shares_left(lengths, fewest=FEWEST, floors=floors).items():
                left.setdefault(center, {})[group] = part
        return [clipped(sent, start, left.get(sent.center, {}), self.groups) for sent in payloads]


def _floor(sent: Payload, group: str, groups: Mapping[str, str], training: Training) -> float:
    """The length of an update of a group that is never cut: a part of what the steps of a round can do."""
    values = sum(array.size for key, array in sent.tensors.items() if group_in(key, groups) == group)
    return FLOOR * reach_of(training).move * math.sqrt(values)


ROLES_OF_NONE: tuple[Role, ...] = ()


def is_admitted(payload: Payload, start: Tensors, training: Training) -> bool:
    """Whether no entry moved farther than the steps of the round can take it."""
    for key, array in payload.tensors.items():
        reach = reach_of(training, key)
        if (np.abs(array.astype(np.float64) - start[key]) > reach.move + reach.shrink * np.abs(start[key])).any():
            return False
    return True


def _torch(tensors: Tensors) -> dict[str, object]:
    import torch

    return {key: torch.from_numpy(np.ascontiguousarray(array)) for key, array in tensors.items()}
