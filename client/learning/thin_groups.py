"""Tensor groups that too few training cases reach: they neither train nor leave, and the reply names them.

    able    cases that could run with all modalities which a group needs      known before a round trains
    used    cases that did                                                    known after it

What fewer cases than the center's minimum are able to reach can never leave in the round, so it stands still from the
start: the other groups train against it as every other center has it, and a private round spends nothing on it. What
enough are able to reach and too few were drawn for goes back to what was received once the round is over.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from client.data.manifest import Case
from client.optimisation.moments import Moments
from client.tasks.contract import CenterTask
from protocol.errors import TooFewError
from protocol.messages.settings import Training
from protocol.messages.tensors import NEEDS, Tensors
from protocol.modalities import parts_of, settings_within


@dataclass(frozen=True)
class Parted:
    """Tensor groups by the training cases behind them.

    behind: group -> cases, 0 among them. minimum_cases: fewest that may stand behind tensors that leave.
    """

    behind: Mapping[str, int]
    minimum_cases: int

    @property
    def enough(self) -> tuple[str, ...]:
        """Those that may leave."""
        return tuple(group for group, cases in self.behind.items() if cases >= max(1, self.minimum_cases))

    @property
    def kept(self) -> tuple[str, ...]:
        """Those to go on with: all where none has enough, so that what decides on leaving refuses them by name."""
        return self.enough or tuple(self.behind)

    @property
    def withheld(self) -> tuple[str, ...]:
        """Those with cases, but too few, that stay while others leave."""
        few = tuple(group for group, cases in self.behind.items() if 0 < cases < self.minimum_cases)
        return few if self.enough else ()

    @property
    def support(self) -> dict[str, int]:
        """Cases behind each group to go on with; one without a case is left out."""
        return {group: self.behind[group] for group in self.kept if self.behind[group]}


def part_groups(groups: Iterable[str], used: Mapping[str, Collection[str]], minimum_cases: int) -> Parted:
    """Tell the groups that may leave from those that may not.

    Args:
        groups: those of the model that the center owns and the round trains.
        used: modality setting -> names of the cases that ran, or could run, under it.
        minimum_cases: fewest that may stand behind tensors that leave.
    """
    return Parted({name: len(_reaching(used, NEEDS.get(name, frozenset()))) for name in groups}, minimum_cases)


def cases_able(
    cases: Iterable[Case], task: CenterTask, training: Training, model_settings: Collection[str]
) -> dict[str, frozenset[str]]:
    """Modality setting that a round trains on -> names of the cases that could run under it.

    Args:
        cases: that train.
        task: what the round trains for.
        training: of the round.
        model_settings: modality settings that the model can run.
    """
    shares = training.modality_shares
    wanted = [str(name) for name, share in shares.items() if share > 0 and name in model_settings and task.runs(name)]
    able = [case for case in cases if case.has_target(task.name)]
    found = {name: [case.name for case in able if name in settings_within(case.modalities)] for name in wanted}
    return {name: frozenset(names) for name, names in found.items() if names}


def require_enough(parted: Parted, center: str) -> None:
    """Refuse a round of which nothing could leave, before it costs its patients anything.

    Raises:
        TooFewError: no group has enough cases.
    """
    if not parted.enough:
        raise TooFewError(
            f"center '{center}': {dict(parted.behind)} training case(s) reach the tensor groups of the round, this "
            f"center sends from {max(1, parted.minimum_cases)} on; nothing was trained, and nothing spent. Add cases, "
            "or choose a smaller --minimum-cases"
        )


def take_back(parameters: Mapping[str, nn.Parameter], received: Tensors, keys: Collection[str]) -> None:
    """Give parameters the values that they were received with; one that was not received was never shared."""
    with torch.no_grad():
        for key in keys & parameters.keys() & received.keys():
            parameters[key].copy_(torch.from_numpy(received[key].copy()))


def moments_without(ended: Moments, begun: Moments, keys: Collection[str]) -> Moments:
    """The moments that a round ended with, those of `keys` as it began: their steps were taken back."""
    kept = {key: moment for key, moment in ended.items() if key not in keys}
    return {**kept, **{key: moment for key, moment in begun.items() if key in keys}}


def _reaching(used: Mapping[str, Collection[str]], needed: frozenset[str]) -> frozenset[str]:
    """The cases of every setting that holds the needed modalities."""
    found = [frozenset(cases) for setting, cases in used.items() if needed <= parts_of(setting)]
    return frozenset().union(*found)
