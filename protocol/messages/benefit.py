"""What federation brought one center: what it is served beside what it would have without it, on its test cases.

    local-only    the adapter that the center trained alone beside the study, from the same modality setting
    ct-network    the frozen backbone without any adapter, from the CT of the same case

Each is the primary metric of what is served minus that of the other, paired by test case. Of all that a center computes
for it this summary alone leaves, as any comparison does: on enough cases, in whole blocks, rounded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from protocol.messages.facts import MAXIMUM_CASES, is_case_count
from protocol.messages.scores import Comparison, comparison_findings
from protocol.messages.text import STRICT
from protocol.modalities import SETTINGS, ModalitySetting
from protocol.tasks import TASKS, TaskName

Against = Literal["local-only", "ct-network"]
AGAINST: tuple[Against, ...] = ("local-only", "ct-network")
MAXIMUM_BENEFITS = len(TASKS) * len(SETTINGS) * len(AGAINST)
NOTHING_DEFINES_IT = Comparison(cases=0, difference=None)


@dataclass(frozen=True)
class Benefit:
    """One task under one modality setting against one other.

    cases: test cases that both answered. comparison: None where the center has one and holds it back; its difference is
    None where those cases do not define it.
    """

    __pydantic_config__ = STRICT

    task: TaskName
    setting: ModalitySetting
    against: Against
    cases: Annotated[int, Field(ge=0, le=MAXIMUM_CASES)]
    comparison: Comparison | None


def benefit_findings(benefits: Sequence[Benefit], metrics: frozenset[str] | None = None) -> Iterator[str]:
    """What of it cannot be: one thing said twice, a task that the study has not, a comparison of more than its cases.

    Args:
        benefits: of one reply.
        metrics: figures that the study's tasks have; None where the study is not known.
    """
    places = [(found.task, found.setting, found.against) for found in benefits]
    if len(set(places)) < len(places) or len(places) > MAXIMUM_BENEFITS:
        yield "benefits say the same thing twice"
    for found in benefits:
        where = f"benefit of '{found.task}' with '{found.setting}' against '{found.against}'"
        if metrics is not None and TASKS[found.task].primary not in metrics:
            yield f"{where} is of a task that the study does not have"
        if found.comparison is None:
            continue
        yield from (f"{where}: {finding}" for finding in comparison_findings(found.comparison))
        if is_case_count(found.comparison.cases) and found.comparison.cases > found.cases:
            yield f"{where} stands on more cases than both answered"


def _check(benefits: tuple[Benefit, ...]) -> tuple[Benefit, ...]:
    if found := list(benefit_findings(benefits)):
        raise ValueError("; ".join(found))
    return benefits


Benefits = Annotated[tuple[Benefit, ...], Field(max_length=MAXIMUM_BENEFITS), AfterValidator(_check)]
