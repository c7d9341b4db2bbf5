"""What a page says of how sure masks are."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from client.report.calibration_section import calibration_section
from client.scores.calibration_log import record_calibration
from tests.support.center_page import case, save_prediction, score_rows
from tests.support.counted_margins import calibration, counted, scored
from tests.support.predicted_case import CT, LESION

SURE = counted([4.05, -4.05], [95, 5], [5, 95])
"""Right in 19 of 20 voxels: less entropy than the validation cases, which are right in 3 of 4."""


def lines(*tests: object, validation: int = 4) -> dict[str, tuple[str, str]]:
    rows = calibration([scored(str(k)) for k in range(validation)], list(tests))  # type: ignore[arg-type]  # scored cases
    (section,) = calibration_section(rows, ["adapt"])
    return {line.name: (line.value, line.note) for line in section.inputs[0].lines}


def test_figures_stand_with_what_they_are_of() -> None:
    """T = 2.05 / log 3; p 0.886 against 0.75 and 0.114 against 0.25 before, nothing after."""
    found = lines(scored("p", dice=0.8), scored("q", dice=None))
    assert found["Temperature"] == ("1.87", "4 validation case(s); 1.87 to 1.87 when each is left out")
    assert found["Expected calibration error before"] == ("0.136", "400 voxels of 2 test case(s)")
    assert found["Expected calibration error after"][0] == "0.000"
    assert found["Threshold of uncertainty, nats"] == (
        "0.562",
        "4 validation case(s); chosen to keep 80% of cases like them",
    )
    assert found["Coverage"] == ("100%", "2 of 2 test case(s) kept")
    assert found["Mean Dice of kept cases"] == ("0.800", "2 case(s), those without a Dice left out")
    assert found["Mean Dice of cases to review"] == ("undefined", "0 case(s), those without a Dice left out")


def test_what_is_undefined_has_its_reason_and_no_number() -> None:
    found = lines(scored("p"), validation=2)
    too_few = "2 validation case(s) with a lesion; a temperature needs 3"
    assert found["Temperature"] == found["Expected calibration error after"] == ("undefined", too_few)
    assert found["Uncertainty against 1 - Dice (Spearman)"] == (
        "undefined",
        "1 test case(s) with both; ranking needs 5",
    )
    assert found["Threshold of uncertainty, nats"][1] == "2 validation case(s); a threshold that keeps 80% needs 4"
    assert "Coverage" not in found


def test_cases_to_review_are_named_and_one_without_a_lesion_is_always_one() -> None:
    silent = type(SURE)(SURE.outside, SURE.inside, np.zeros_like(SURE.near))
    tests = [scored("sure", SURE), scored("silent", silent, 0.0), scored("unsure", counted([0.05], [9], [9]))]
    (section,) = calibration_section(calibration([scored(name) for name in "abcd"], tests), ["adapt"])
    assert [(line.case, line.uncertainty, line.review) for line in section.inputs[0].cases][1:] == [
        ("silent", "undefined", "by hand"),
        ("unsure", "0.693", "by hand"),
    ]
    assert section.inputs[0].cases[0].review == "not asked for"


def test_the_section_is_of_the_last_stage_with_the_fullest_input_first() -> None:
    rows = [*calibration([], [scored("p")], "first"), *calibration([], [scored("p"), scored("q", setting="ct")])]
    (section,) = calibration_section(rows, ["first", "adapt"])
    assert [shown.modalities for shown in section.inputs] == ["ct+pet", "ct"]
    assert calibration_section(rows, ["first", "adapt", "later"]) == calibration_section([], []) == []


def test_the_page_shows_it_and_its_picture_and_without_a_calibration_nothing(
    tmp_path: Path, page: Callable[..., str]
) -> None:
    save_prediction(tmp_path, "a", ct=CT, gtv=LESION)
    assert "How sure masks are" not in page((case("a", "ct", "gtv"),), score_rows({"a": 0.5}))
    record_calibration(tmp_path, "adapt", calibration([], [scored("a")]))
    found = page((case("a", "ct", "gtv"),), score_rows({"a": 0.5}))
    assert "How sure masks are" in found
    assert '<td class="number undefined">undefined</td><td>0 validation case(s) with a lesion' in found
    assert found.count("data:image/png;base64,") == 2
