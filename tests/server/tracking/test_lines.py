import math

import pytest

from protocol.messages.benefit import Benefit
from protocol.messages.scores import Comparison, Score
from protocol.messages.suppression import Suppressed
from server.study.history import History, QueryRecord, RollbackRecord, StageRow
from server.tracking.lines import flat, lines_of, score_metrics, study_parameters
from tests.support.segmentation_scores import dice_score
from tests.support.tracked_study import AGAIN, FIGURES, GATE, LATE, ROW, STUDY, record


def said(**parts):
    """Run, step, metrics and tags of each line of a history."""
    return [(line.run, line.step, dict(line.metrics), dict(line.tags)) for line in lines_of(History(**parts), STUDY)]


def test_every_line_of_a_history_has_a_key_of_its_own():
    spoken = History(rounds=AGAIN, rows=(ROW,), gates=(GATE,), aggregations=(FIGURES,), late=(LATE,))
    keys = [line.key for line in lines_of(spoken, STUDY)]
    assert len(keys) == len(set(keys)) == 3 + 3 + 2 + 1 + 1


@pytest.mark.parametrize("loss", [None, math.inf, math.nan])
def test_a_loss_that_is_no_number_is_counted_and_not_drawn(loss):
    ((run, step, metrics, tags),) = said(rounds=(record(3, loss=loss, error="cases"),))
    assert (run, step, tags) == ("center/a", 3, {"error/0003": "cases"})
    assert (metrics["loss_undefined"], metrics["failed"]) == (1, 1)
    assert "loss" not in metrics


def test_a_score_without_a_value_is_counted_and_has_no_point():
    assert score_metrics("test", {"ct+pet": dice_score(4, None, 7.5, 4, 1)}) == {
        "test/cases/ct_pet": 4,
        "test/dice/ct_pet_undefined": 4,
        "test/hd95_mm/ct_pet_undefined": 1,
        "test/hd95_mm/ct_pet": 7.5,
    }


def test_the_study_gets_the_means_of_its_centers_at_the_last_round_of_the_stage():
    of_a, of_b, of_study = said(rows=(ROW,))
    assert [line[:2] for line in (of_a, of_b, of_study)] == [("center/a", 3), ("center/b", 3), ("study", 3)]
    assert of_study[2] == {"test_mean/dice/ct": 0.625, "test_mean/hd95_mm/ct": 7.5}
    assert of_study[3] == {"stage/0003": "pet"}


def test_a_verdict_is_the_studys_and_each_difference_its_centers():
    assert said(gates=(GATE,)) == [
        ("study", 3, {"gate/mean": 0.5, "gate/promoted": 1.0}, {"gate/0003": "no center loses"}),
        ("center/a", 3, {"gate/difference": 0.25}, {}),
    ]


def test_figures_of_an_aggregation_are_the_studys():
    assert said(aggregations=(FIGURES,)) == [("study", 2, {"aggregation/dropped": 0.5}, {})]


def test_a_round_that_was_undone_is_a_mark_at_the_round_that_found_it():
    found = said(rollbacks=(RollbackRecord("pretrain", 3, 1, {"a": 0.5}),))
    assert found == [("study", 3, {"rollback": 1.0}, {"rollback/0003": "the state after round 1 is restored"})]


def test_a_late_update_is_a_mark_at_its_round():
    assert said(late=(LATE,)) == [("center/a", 2, {"late": 1.0}, {"late/0002": "set-aside, found in round 3"})]


def test_settings_become_parameters_and_centers_stand_in_their_own_runs():
    parameters = study_parameters(STUDY)
    assert (parameters["model.options.depths"], parameters["centers"]) == ("1, 2", "a, b")
    assert not any(name.startswith("centers.") for name in parameters)
    assert flat({"shares": {"ct+pet": 0.5}, "rows": [{"a": 1}]}, "") == {"shares.ct_pet": "0.5", "rows.0.a": "1"}


def test_a_studys_concordance_is_weighed_by_pairs_and_counts_have_no_mean():
    """(30 x 0.6 + 10 x 0.8) / 40 = 0.65."""
    scores = {"a": {"concordance": 0.6, "pairs": 30, "events": 3}, "b": {"concordance": 0.8, "pairs": 10, "events": 1}}
    row = StageRow("pet", {center: {"ct+ehr": Score(9, values)} for center, values in scores.items()})
    of_a, _, of_study = said(rows=(row,))
    assert of_study[2] == {"test_mean/concordance/ct_ehr": pytest.approx(0.65)}
    assert of_a[2] == {
        "test/cases/ct_ehr": 9,
        "test/concordance/ct_ehr": 0.6,
        "test/concordance/ct_ehr_undefined": 0,
        "test/pairs/ct_ehr": 30,
        "test/events/ct_ehr": 3,
    }


def test_tensors_that_are_held_back_are_marks_of_their_group():
    ((_, _, metrics, _),) = said(rounds=(record(3, suppressed=("tensors.peft.pet", "tensors.pet")),))
    marks = {name for name in metrics if name.endswith("_suppressed")}
    assert marks == {"tensors.peft.pet_suppressed", "tensors.pet_suppressed"}


def test_a_loss_and_scores_that_are_held_back_are_marks_and_no_undefined_ones():
    """Of CT the Dice stays and the distance came; of PET nothing came, not even how many cases there are."""
    suppressed = ("loss", "diagnostics", "ct/dice", "pet/dice")
    validation = {"ct": dice_score(6, None, 7.5)}
    ((_, step, metrics, _),) = said(rounds=(record(3, loss=None, validation=validation, suppressed=suppressed),))
    marks = {"loss", "diagnostics", "validation/dice/ct", "validation/dice/pet"}
    assert {name for name in metrics if name.endswith("_suppressed")} == {f"{name}_suppressed" for name in marks}
    assert (step, [metrics[f"{name}_suppressed"] for name in marks]) == (3, [1.0] * 4)
    assert marks.isdisjoint(metrics)
    assert (metrics["validation/hd95_mm/ct"], metrics["validation/cases/ct"]) == (7.5, 6)
    assert not {"loss_undefined", "validation/dice/pet_undefined", "validation/cases/pet"} & metrics.keys()


def test_a_test_score_that_is_held_back_is_a_mark_and_the_study_counts_who_holds_it_back():
    held = {"b": Suppressed({"ct": ("concordance/death", "events")})}
    row = StageRow(
        "pet", {"a": {"ct": Score(9, {"concordance/death": 0.75, "pairs/death": 10})}, "b": {}}, suppressed=held
    )
    _, of_b, of_study = said(rows=(row,))
    assert of_b[2] == {"test/concordance/death/ct_suppressed": 1, "test/events/ct_suppressed": 1}
    assert of_study[2] == {"test_mean/concordance/death/ct": 0.75, "test_mean/concordance/death/ct_suppressed": 1}


def test_a_comparison_that_is_held_back_is_a_mark_where_its_difference_would_be():
    told = [QueryRecord("pet", "compare", name, suppressed=held) for name, held in (("a", ("comparison",)), ("b", ()))]
    assert said(queries=tuple(told)) == [("center/a", 3, {"gate/difference_suppressed": 1.0}, {})]


def test_a_row_that_was_summed_is_the_studys_alone():
    """No center has a run called "all centers", and no curve of its own."""
    scores = {"all centers": {"ct": dice_score(16, 0.5, None, hd95_undefined=16)}}
    history = History(rows=(StageRow(ROW.stage, scores),))
    lines = [line for line in lines_of(history, STUDY) if line.key.startswith("row/")]
    assert [line.run for line in lines] == ["study"]
    assert lines[0].metrics == {"test_mean/dice/ct": 0.5}


def test_a_center_that_could_not_be_scored_is_marked_as_failed_with_its_code():
    """B answered with an error, c not at all; a has its figures and no mark."""
    row = StageRow("pet", {"a": {"ct": dice_score(6, 0.5, 7.5)}, "b": {}}, errors={"b": "internal", "c": "no-answer"})
    told = {run: (metrics, tags) for run, _, metrics, tags in said(rows=(row,))}
    assert told["center/b"] == ({"test/failed": 1.0}, {"test_error/0003": "internal"})
    assert told["center/c"] == ({"test/failed": 1.0}, {"test_error/0003": "no-answer"})
    assert "test/failed" not in told["center/a"][0]


def test_what_federation_brought_is_its_centers_with_the_ends_of_its_interval():
    """Of four cases that differ by 0.25 each, noise 0: the interval is the difference; a fifth case defines none."""
    told = Benefit("segmentation", "ct+pet", "local-only", 5, Comparison(4, 0.25, 0.0))
    row = StageRow("pet", {"a": {}}, benefits={"a": (told,)})
    name, line = "benefit/dice/ct_pet/local-only", said(rows=(row,))[1]
    assert line == (
        "center/a",
        3,
        {name: 0.25, f"{name}_low": 0.25, f"{name}_high": 0.25, f"{name}_undefined": 1.0},
        {name: "better with federation"},
    )


def test_what_federation_brought_is_no_number_where_it_is_held_back_undefined_or_of_one_case():
    withheld = Benefit("segmentation", "ct", "ct-network", 2, None)
    undefined = Benefit("segmentation", "pet", "local-only", 6, Comparison(0, None))
    single = Benefit("segmentation", "ct", "local-only", 1, Comparison(1, 0.5))
    row = StageRow("pet", {"a": {}}, benefits={"a": (withheld, undefined, single)})
    _, _, metrics, tags = said(rows=(row,))[1]
    assert metrics == {
        "benefit/dice/ct/ct-network_suppressed": 1.0,
        "benefit/dice/pet/local-only_undefined": 6.0,
        "benefit/dice/ct/local-only": 0.5,
        "benefit/dice/ct/local-only_undefined": 0.0,
    }
    assert list(tags.values()) == ["too few cases to say", "nothing defines it", "one case says nothing of its noise"]
