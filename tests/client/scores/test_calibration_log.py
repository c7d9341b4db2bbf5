"""What a center keeps of how sure its masks are."""

import logging
import stat
from pathlib import Path

import numpy as np
import pytest

from client.scores.calibration_log import record_calibration
from client.scores.calibration_rows import read_calibration
from protocol.errors import CaseError
from tests.support.counted_margins import calibration, counted, scored


def test_a_row_holds_temperature_threshold_and_test_cases_of_an_input() -> None:
    """All alike: T = 2.05 / log 3, so that p is 0.75 or 0.25 everywhere, and H = 0.5623 nats."""
    (row,) = calibration([scored(name) for name in "abcd"], [scored("p", dice=0.7), scored("q", dice=None)])
    assert row.temperature == pytest.approx(2.05 / np.log(3), rel=1e-4)
    assert row.temperature_range == pytest.approx((row.temperature, row.temperature), rel=1e-3)
    assert row.threshold == pytest.approx(0.5623, abs=1e-3)
    assert (row.stage, row.modalities, row.validation_cases) == ("adapt", "ct+pet", 4)
    assert (row.adapter_sha256, row.backbone_sha256) == ("a" * 64, "b" * 64)
    assert [(case.case, case.dice) for case in row.cases] == [("p", 0.7), ("q", None)]
    assert row.cases[0].uncertainty == pytest.approx(0.5623, abs=1e-3)
    assert [tenth.voxels for tenth in row.before if tenth.voxels] == [200, 200]
    assert [tenth.observed for tenth in row.after if tenth.voxels] == [0.25, 0.75]


def test_too_few_validation_cases_are_said_and_the_rest_stands_at_a_temperature_of_1() -> None:
    """H of 0.886 is 0.355."""
    (row,) = calibration([scored("a")], [scored("p")])
    assert (row.temperature, row.temperature_range, row.threshold, row.after) == (None, None, None, ())
    assert row.no_temperature == "1 validation case(s) with a lesion; a temperature needs 3"
    assert row.no_threshold == "1 validation case(s); a threshold that keeps 80% needs 4"
    assert row.cases[0].uncertainty == pytest.approx(0.355, abs=2e-3)


def test_each_input_has_a_row_of_its_own_cases() -> None:
    rows = calibration([scored(name) for name in "abc"], [scored("p"), scored("q", setting="ct")])
    assert [(row.modalities, row.validation_cases, len(row.cases)) for row in rows] == [("ct", 0, 1), ("ct+pet", 3, 1)]


def test_answers_that_are_no_masks_have_no_row() -> None:
    assert calibration([scored("a")], [scored("p", margins=None)]) == []


def test_an_evaluation_that_is_repeated_replaces_the_rows_of_its_stage(tmp_path: Path) -> None:
    record_calibration(tmp_path, "first", calibration([], [scored("p")], "first"))
    for name in ("q", "r"):
        record_calibration(tmp_path, "second", calibration([], [scored(name)], "second"))
    found = read_calibration(tmp_path / "calibration.json")
    assert [(row.stage, [case.case for case in row.cases]) for row in found] == [("first", ["p"]), ("second", ["r"])]
    assert found[1] == calibration([], [scored("r")], "second")[0]
    assert stat.S_IMODE((tmp_path / "calibration.json").stat().st_mode) == 0o600


def test_without_a_row_no_file_is_made(tmp_path: Path) -> None:
    record_calibration(tmp_path, "first", [])
    assert list(tmp_path.iterdir()) == []
    assert read_calibration(tmp_path / "calibration.json") == ()


def test_a_changed_file_is_refused_and_set_aside_by_the_next_evaluation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "calibration.json"
    record_calibration(tmp_path, "first", calibration([], [scored("p")], "first"))
    path.write_text(path.read_text().replace('"p"', '"q"'))
    with pytest.raises(CaseError, match=r"cannot be read \(it was changed"):
        read_calibration(path)
    with caplog.at_level(logging.WARNING):
        record_calibration(tmp_path, "second", calibration([], [scored("p")], "second"))
    assert "set aside as" in caplog.text
    assert [row.stage for row in read_calibration(path)] == ["second"]
    assert (tmp_path / "calibration.json.damaged").exists()


def test_cases_that_predict_nothing_count_for_the_threshold() -> None:
    """Margins at which nothing is near a prediction: no uncertainty, above any threshold."""
    missed = counted([-3.05], [5], [95])
    silent = type(missed)(missed.outside, missed.inside, np.zeros_like(missed.near))
    (row,) = calibration([scored("a", silent), *[scored(name) for name in "bcd"]], [scored("p", silent, 0.0)])
    assert (row.threshold, row.cases[0].uncertainty) == (None, None)
    assert row.no_threshold == "in 1 of 4 validation cases no lesion was predicted"
