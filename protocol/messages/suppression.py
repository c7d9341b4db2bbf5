"""What a center has and holds back: told apart from what nothing defines, and from what was never asked or came.

    known        a number
    suppressed   the center has it, and it would tell too much: too few cases, or a budget that is spent
    undefined    the cases were scored, and nothing defines it: a distance to an empty contour
    absent       nothing was scored: not asked, no such case, no answer

A suppressed figure has no value in a reply, neither null beside cases nor zero; its name alone is there. A reply that
names a figure as suppressed and gives it as well is refused. So it is with a tensor group that cases reach, but too
few: its tensors and its support are not there, its name is.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from protocol.messages.scores import MAXIMUM_METRICS, Score
from protocol.messages.tensors import GROUPS, NEEDS
from protocol.modalities import SETTINGS, ModalitySetting
from protocol.plain_text import SHOWN_OF_A_NAME, shown
from protocol.tasks import metric_named

State = Literal["known", "suppressed", "undefined", "absent"]
Part = Literal["comparison", "diagnostics", "loss"]
PARTS: tuple[Part, ...] = ("comparison", "diagnostics", "loss")
TENSOR_GROUPS = tuple(dict.fromkeys((*GROUPS, *NEEDS)))
OF_TENSORS = "tensors."
"""What a tensor group's name begins with, among the names of what is suppressed."""


@dataclass(frozen=True)
class Suppressed:
    """The figures and tensors of a reply that stay at the center.

    scores: modality setting -> names of its figures. parts: what there is once in a reply. groups: tensor groups that
    too few of the center's cases stand behind.
    """

    scores: Mapping[ModalitySetting, tuple[str, ...]] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    groups: tuple[str, ...] = ()

    def joined_with(self, other: "Suppressed") -> "Suppressed":
        """What either holds back."""
        names = {
            setting: tuple(sorted({*self.scores.get(setting, ()), *other.scores.get(setting, ())}))
            for setting in SETTINGS
            if setting in self.scores or setting in other.scores
        }
        parts, groups = {*self.parts, *other.parts}, {*self.groups, *other.groups}
        return Suppressed(names, tuple(part for part in PARTS if part in parts), tuple(sorted(groups)))

    def names(self) -> tuple[str, ...]:
        """All of it, a name each: `loss`, `ct/dice`, `tensors.pet`."""
        figures = (figure_name(setting, name) for setting, found in self.scores.items() for name in found)
        return (*self.parts, *figures, *(OF_TENSORS + group for group in self.groups))


NOTHING_SUPPRESSED, LOSS_SUPPRESSED = Suppressed(), Suppressed(parts=("loss",))


def figure_name(setting: ModalitySetting, name: str) -> str:
    """A figure of a modality setting among the names of what is suppressed."""
    return f"{setting}/{name}"


def of_figure(name: str) -> tuple[str, str]:
    """The modality setting and the figure that a name is of; a part or a tensor group is of no setting: ""."""
    setting, slash, figure = name.partition("/")
    return (setting, figure) if slash else ("", name)


def state_of(
    scores: Mapping[ModalitySetting, Score], suppressed: Suppressed, setting: ModalitySetting, name: str
) -> State:
    """Which of the four a figure is."""
    if name in suppressed.scores.get(setting, ()):
        return "suppressed"
    score = scores.get(setting)
    if score is None or not score.cases or name not in score.values:
        return "absent"
    return "undefined" if score.value(name) is None else "known"


def settings_suppressed(scores: Mapping[ModalitySetting, Score], leaving: Collection[ModalitySetting]) -> Suppressed:
    """Every figure of the settings that do not leave, defined or not: which is which would tell of the few cases."""
    return Suppressed({name: tuple(sorted(score.values)) for name, score in scores.items() if name not in leaving})


def suppression_findings(suppressed: Suppressed, scores: Mapping[ModalitySetting, Score]) -> Iterator[str]:
    """What of it cannot be: figures that nobody knows, or that are given as well."""
    for setting, names in suppressed.scores.items():
        where = shown(setting, SHOWN_OF_A_NAME)
        if setting not in SETTINGS:
            yield f"suppressed figures of setting '{where}', allowed: {list(SETTINGS)}"
        if len(names) > MAXIMUM_METRICS or len(set(names)) < len(names):
            yield f"suppressed figures of setting '{where}' are more than {MAXIMUM_METRICS}, or one of them twice"
            continue
        yield from (f"suppressed figure '{shown(name, SHOWN_OF_A_NAME)}' is no metric" for name in _unknown(names))
        given = [name for name in names if setting in scores and scores[setting].value(name) is not None]
        if given:
            yield f"{len(given)} figure(s) of setting '{where}' are suppressed and given as well"
    if len(set(suppressed.parts)) < len(suppressed.parts) or not {*suppressed.parts} <= {*PARTS}:
        yield f"suppressed parts are not each one of {list(PARTS)}, once"
    if len(set(suppressed.groups)) < len(suppressed.groups) or not {*suppressed.groups} <= {*TENSOR_GROUPS}:
        yield f"suppressed tensor groups are not each one of {list(TENSOR_GROUPS)}, once"


def _unknown(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        try:
            metric_named(name)
        except KeyError:
            yield name
