"""Outcomes that a combination of figures could isolate at one patient of a block: classes, and endpoints' events.

    E    a row for each outcome, a column for each case: 1 where the outcome is the case's own

A figure that tells outcomes apart is a sum over the cases of an outcome, or follows from such sums. Whoever plants
networks may have several outcomes answered alike, so that any combination c E can be had. One patient's answer is told
where some c E is not zero at its cases and zero at everybody else's, which is where E without its columns has a lower
rank. Outcomes that nobody has, or two patients alike, tell of none.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping

import numpy as np

Outcomes = frozenset[str]
Pattern = frozenset[Outcomes]
"""What the cases of one patient have."""


def outcomes_of_one(cases: Mapping[str, Outcomes], patients: Mapping[str, str]) -> Outcomes:
    """The outcomes that may not be told apart in a block, so that those which are left isolate no patient.

    The more frequent ones are kept first.

    Args:
        cases: what each case of the block has. patients: whose each case is.
    """
    common = Counter(outcome for found in cases.values() for outcome in found)
    patterns = Counter(_patterns(cases, patients).values())
    kept: tuple[str, ...] = ()
    for outcome in sorted(common, key=lambda name: (-common[name], name)):
        if not _isolate((*kept, outcome), patterns):
            kept = (*kept, outcome)
    return frozenset(common) - frozenset(kept)


def _patterns(cases: Mapping[str, Outcomes], patients: Mapping[str, str]) -> dict[str, Pattern]:
    found: dict[str, set[Outcomes]] = defaultdict(set)
    for case, outcomes in cases.items():
        found[patients[case]].add(outcomes)
    return {patient: frozenset(of_patient) for patient, of_patient in found.items()}


def _isolate(outcomes: Collection[str], patterns: Mapping[Pattern, int]) -> bool:
    """Whether some combination of the outcomes is of one patient; of two who have the same, it is of neither alone."""
    whole = _rank(outcomes, patterns)
    alone = [pattern for pattern, count in patterns.items() if count == 1]
    return any(_rank(outcomes, [other for other in patterns if other != pattern]) < whole for pattern in alone)


def _rank(outcomes: Collection[str], patterns: Iterable[Pattern]) -> int:
    columns = {of_case & frozenset(outcomes) for pattern in patterns for of_case in pattern}
    rows = [[outcome in column for column in columns] for outcome in outcomes]
    return int(np.linalg.matrix_rank(np.array(rows, dtype=np.float64))) if columns else 0
