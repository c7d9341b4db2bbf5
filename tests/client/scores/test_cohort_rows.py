"""Rows of scores as figures see them: whole blocks, setting by setting and value by value."""

from collections.abc import Mapping

import numpy as np

from client.data.blocks import Block
from client.data.cohort import EVERYBODY, Cohort
from client.scores.cohort_rows import level, scored_in
from client.scores.scoring import Scored
from client.tasks import classification, survival
from client.tasks.contract import CaseScore, CenterTask
from protocol.messages.settings import StudySettings
from tests.support.segmentation_task import segmentation

TWO = Block({"a": "a", "b": "b"})
OTHER = Block({"c": "c", "d": "d"})
COHORT = Cohort((TWO, OTHER), {name: name for name in "abcde"})


def row(case: str, setting: str = "ct", dice: float = 0.5, distance: float | None = 1.0) -> Scored:
    values = {"dice": dice, "hd95_mm": distance}
    return Scored(CaseScore(case, setting, values), (1,), np.dtype(np.uint8), b"")


def test_each_setting_has_whole_blocks_only() -> None:
    """CT of both blocks; PET of one, since the other's second case has none; the fifth case waits."""
    rows = [*(row(name) for name in "abcde"), row("a", "pet"), row("b", "pet"), row("c", "pet")]
    found = scored_in(segmentation(), rows, COHORT)
    kept = {(found_row.score.modalities, found_row.score.case) for found_row in found}
    assert kept == {*(("ct", name) for name in "abcd"), ("pet", "a"), ("pet", "b")}


def test_what_one_case_does_not_define_its_block_does_not_either() -> None:
    rows = {name: row(name, distance=None if name == "c" else 1.0).score for name in "abcd"}
    found = level(segmentation(), rows, COHORT)
    assert {case: score.values["hd95_mm"] for case, score in found.items()} == {"a": 1, "b": 1, "c": None, "d": None}
    assert {score.values["dice"] for score in found.values()} == {0.5}


def test_where_every_case_enters_by_itself_rows_stay_as_they_are() -> None:
    rows = [row("a", distance=None), row("z", "pet")]
    assert scored_in(segmentation(), rows, EVERYBODY) == rows
    scores = {"a": rows[0].score}
    assert level(segmentation(), scores, EVERYBODY) == scores


LABELS = {
    "classes": {"column": "class"},
    "endpoints": {
        name: {"event": f"{name}_event", "time": f"{name}_days", "unit": "days"} for name in ("any", "death")
    },
    "survival": {"head": "cox"},
}
SETTINGS = StudySettings.model_validate(
    {"study": "s", "seed": 0, "model": {"name": "none"}, "tasks": ("classification", "survival"), "labels": LABELS}
)
FIRST, SECOND = (Block({name + place: name + place for place in "01234"}) for name in "ab")
BOTH = Cohort((FIRST, SECOND), {name: name for block in (FIRST, SECOND) for name in block.members})
APART = ("auc", "g_mean", "sensitivity", "specificity", "precision", "f1")


def scored(setting: str, values: Mapping[str, Mapping[str, float]]) -> list[Scored]:
    return [
        Scored(CaseScore(case, setting, of_case), (1,), np.dtype(np.uint8), b"") for case, of_case in values.items()
    ]


def entering(task: CenterTask, rows: list[Scored], setting: str) -> list[CaseScore]:
    return [found.score for found in scored_in(task, rows, BOTH) if found.score.modalities == setting]


def test_the_answer_for_a_blocks_one_positive_patient_is_in_no_figure_that_tells_classes_apart() -> None:
    """A network that ignores PET: CT is of both blocks, CT and PET of the second; the first has one positive patient.

    Its answer changes the accuracy over ten and nothing else, whatever is subtracted from what.
    """
    task = classification.build(SETTINGS)
    positive = {"a0", "b0", "b1"}
    found = {}
    for answer in (0.9, 0.1):
        values = {
            case: {"class": float(case in positive), "probability/0": 1 - shown, "probability/1": shown}
            for case, shown in {**dict.fromkeys(BOTH.keys, 0.2), "a0": answer, "b0": 0.8}.items()
        }
        rows = scored("ct", values) + scored("ct+pet", {name: values[name] for name in SECOND.members})
        found[answer] = [task.summarise(entering(task, rows, setting)) for setting in ("ct", "ct+pet")]
    (high, alone), (low, _) = found[0.9], found[0.1]
    assert {name for name in high.values if high.values[name] != low.values[name]} == {"accuracy"}
    assert all(high.values[name] == alone.values[name] and high.behind(name) == 5 for name in APART)
    assert (high.behind("accuracy"), high.values["majority"]) == (10, 0.7)
    assert set(high.rarest.values()) == {2}


def test_networks_are_compared_on_the_cases_whose_classes_may_be_told_apart() -> None:
    task, positive = classification.build(SETTINGS), {"a0", "b0", "b1"}
    rows = {
        case: CaseScore(case, "ct", {"class": float(case in positive), "probability/0": 0.5, "probability/1": 0.5})
        for case in BOTH.keys
    }
    left = level(task, rows, BOTH)
    compared = task.compare(left, left, np.random.default_rng(0))
    assert (compared.cases, compared.difference) == (5, 0.0)


def test_endpoints_that_differ_in_one_patient_of_a_block_and_events_of_one_are_not_told() -> None:
    """First block: one event of either endpoint. Second: three events of the one, of which two are deaths."""
    task = survival.build(SETTINGS)
    events = {"any": {"a0", "b0", "b1", "b2"}, "death": {"a0", "b0", "b1"}}
    values = {
        case: {
            f"{what}/{name}": found
            for name in events
            for what, found in (("days", 10.0 + place), ("event", float(case in events[name])), ("risk", 1.0 * place))
        }
        for place, case in enumerate(BOTH.keys)
    }
    score = task.summarise(entering(task, scored("ct", values), "ct"))
    assert (score.behind("concordance/any"), score.values["events/any"]) == (5, 3)
    assert score.values["concordance/death"] is None
    assert (score.behind("events/death"), score.values["pairs/death"], score.values["events"]) == (0, 0, 3)
    whole = task.summarise([found.score for found in scored_in(task, scored("ct", values), EVERYBODY)])
    assert (whole.values["events/any"], whole.values["events/death"]) == (4, 3)
