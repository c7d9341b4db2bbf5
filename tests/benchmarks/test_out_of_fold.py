"""What is printed of a study's folds together."""

from pathlib import Path

import numpy as np
import pytest

from server.study.file import read_study
from strategies.evaluation.matrix import EvaluationMatrix
from strategies.evaluation.merged_folds import merge_folds
from strategies.evaluation.run_scores import RunScores, mean_of
from tests.support.benchmark_scripts import load_script

out_of_fold = load_script("out_of_fold.py")


def fold(a: dict[str, tuple[float, float]], b: dict[str, tuple[float, float]]) -> RunScores:
    """Two centers; of each patient the score before and after the only stage."""
    patients = {name: np.array(list(own.values())).reshape(-1, 2).T for name, own in (("a", a), ("b", b))}
    values = np.stack([mean_of(own, axis=1) for own in patients.values()], axis=1)
    matrix = EvaluationMatrix(("pretrain", "adapt", "arrive"), ("a", "b"), np.vstack([values, values[-1:]]), (1, None))
    cases = {"a": tuple(a), "b": tuple(b)}
    return RunScores(7, matrix, cases, {name: np.vstack([own, own[-1:] - 0.1]) for name, own in patients.items()})


def test_a_patient_counts_once_and_a_center_once() -> None:
    """0.7, 0.5 and 0.3 of a, 0.9 of b after the last stage: 0.6 over patients, (0.5 + 0.9) / 2 over centers."""
    merged = merge_folds([fold({"a1": (0.4, 0.8), "a2": (0.2, 0.6)}, {"b1": (0.5, 1.0)}), fold({"a3": (0.0, 0.4)}, {})])
    figures = out_of_fold.figures_of(merged)
    assert figures["patients"] == 4
    assert figures["over_patients"]["value"] == pytest.approx(0.6)
    assert figures["over_centers"]["value"] == pytest.approx(0.7)
    assert figures["centers"]["a"]["value"] == pytest.approx(0.5)
    assert figures["rows"]["pretrain"] == pytest.approx((0.4 + 0.2 + 0.0 + 0.5) / 4)
    assert figures["forgetting"]["value"] == pytest.approx(0.1)


def test_a_patient_whose_score_is_undefined_is_counted_and_in_no_mean() -> None:
    """0.5 of a and 0.9 of b stay after the last stage."""
    merged = merge_folds([fold({"a1": (0.4, float("nan")), "a2": (0.2, 0.6)}, {"b1": (0.5, 1.0)})])
    figures = out_of_fold.figures_of(merged)
    assert figures["undefined"] == 1
    assert figures["over_patients"]["value"] == pytest.approx(0.7)


def test_a_fold_s_study_is_the_study_with_its_number(repository: Path, tmp_path: Path) -> None:
    path = out_of_fold.write_fold(repository / "studies" / "sts.toml", tmp_path, 3)
    study, again = read_study(repository / "studies" / "sts.toml"), read_study(path)
    assert again.split.fold == 3
    assert again == study.model_copy(update={"split": study.split.model_copy(update={"fold": 3})})


def test_folds_are_drawn_a_panel_a_setting() -> None:
    figure = out_of_fold.draw({"ct": fold({"a1": (0.4, 0.8)}, {"b1": (0.5, 1.0)})})
    (panel,) = figure.axes
    assert panel.get_title() == "CT"
    assert {line.get_label() for line in panel.lines} == {"all", "a", "b"}
