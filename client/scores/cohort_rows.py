"""Scores of cases as they enter figures: of whole blocks, value by value."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from client.data.cohort import Cohort
from client.scores.scoring import Scored
from client.tasks.contract import CaseScore, CenterTask
from protocol.modalities import SETTINGS


def scored_in(task: CenterTask, rows: Sequence[Scored], cohort: Cohort) -> list[Scored]:
    """The rows of a task that enter its figures: of each setting whole blocks, each value whole blocks."""
    if not cohort.is_of_blocks:
        return list(rows)
    found = []
    for setting in SETTINGS:
        of_setting = {row.score.case: row for row in rows if row.score.modalities == setting}
        left = level(task, {case: row.score for case, row in of_setting.items()}, cohort)
        found += [replace(of_setting[case], score=score) for case, score in left.items()]
    return found


def level(task: CenterTask, scores: Mapping[str, CaseScore], cohort: Cohort) -> dict[str, CaseScore]:
    """The scores of whole blocks; a value that a case of a block lacks is None for all of the block.

    What is undefined for one case alone, such as a distance to an empty contour, would otherwise tell of that case: it
    is missing from one figure and not from the next. What figures that tell outcomes apart would tell of one patient of
    a block, they do not see.
    """
    if not cohort.is_of_blocks:
        return dict(scores)
    left = cohort.keep(scores.keys())
    names = sorted({name for score in scores.values() for name in score.values})
    defined = {
        name: cohort.keep([case for case in left if scores[case].values.get(name) is not None]) for name in names
    }
    found = {
        case: replace(
            score, values={name: value if case in defined[name] else None for name, value in score.values.items()}
        )
        for case, score in scores.items()
        if case in left
    }
    of_one = cohort.of_one_patient({case: task.outcomes(score) for case, score in found.items()})
    return {case: task.conceal(score, of_one[case]) if of_one[case] else score for case, score in found.items()}
