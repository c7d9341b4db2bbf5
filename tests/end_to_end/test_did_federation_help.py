"""A study that asks what federation brings each center: from the arm at the center to result, report and own page."""

import json
from dataclasses import replace
from typing import Any

import pytest

from client.data.synthetic import CENTERS, write_synthetic_cohort
from client.report.center_report import write_center_report
from client.service.own_arm import OwnArm
from client.service.trainer import Trainer
from protocol.tasks import TASKS
from server.study.file import read_study
from tests.support.federation import TOGETHER, Federation, federation, result_of

pytestmark = pytest.mark.slow
ASKED = TOGETHER + "\n[reference]\nlocal_only = true\n"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    """Both centers have one test case; center-d, of five patients, sends from two cases on."""
    root = tmp_path_factory.mktemp("helped")
    sizes = {"center-a": 3, "center-d": 5}
    centers = [replace(made, patients=sizes[made.name]) for made in CENTERS if made.name in sizes]
    write_synthetic_cohort(root / "cohort", centers=centers, seed=1)
    made = federation(root, root / "cohort", ASKED)
    home = made.trainers["center-d"].home
    made.trainers["center-d"] = Trainer("center-d", [root / "cohort" / "center-d"], ("ct",), home, minimum_cases=2)
    made.run()
    return made


def entries(found: Federation, center: str) -> list[dict[str, Any]]:
    return [entry for entry in result_of(found)["benefits"] if entry["center"] == center]


def test_each_modality_is_held_against_both_references(found: Federation) -> None:
    told = entries(found, "center-a")
    assert {(entry["setting"], entry["against"]) for entry in told} == {
        (setting, against) for setting in ("ct", "pet", "ct+pet") for against in ("local-only", "ct-network")
    }
    assert {(entry["stage"], entry["state"], entry["cases"], entry["low"]) for entry in told} == {
        ("adapt", "known", 1, None)
    }


def test_the_difference_is_of_what_the_center_keeps_itself(found: Federation) -> None:
    """What left is what the center has, to four decimals, and the matrix minus it is the arm's own score."""
    rows = json.loads((found.trainers["center-a"].home / "benefits.json").read_text())["rows"]
    kept = {(row["modalities"], row["against"]): row["difference"] for row in rows if row["stage"] == "adapt"}
    told = {(entry["setting"], entry["against"]): entry["difference"] for entry in entries(found, "center-a")}
    assert told == {place: pytest.approx(value, abs=5e-5) for place, value in kept.items()}


def test_too_few_cases_are_withheld_and_the_report_says_so(found: Federation) -> None:
    assert {(entry["state"], entry["difference"], entry["low"]) for entry in entries(found, "center-d")} == {
        ("withheld", None, None)
    }
    report = found.directory.report.read_text()
    assert "Did federation help each center?" in report
    assert "too few cases to say" in report


def test_each_arm_took_the_steps_of_its_center(found: Federation) -> None:
    study = read_study(found.directory.study_file)
    for center, steps in study.steps_by_center().items():
        trainer = found.trainers[center]
        arm = OwnArm(trainer.home, center, b"").read(study.settings_for(center))
        assert arm is not None
        assert arm.steps == steps


def test_nothing_but_the_comparison_leaves_for_it(found: Federation) -> None:
    told = [reply for instruction, reply in found.notes if instruction.kind == "evaluate"]
    assert [reply.tensors for reply in told] == [{}] * len(told)
    lines = (found.trainers["center-d"].home / "outgoing.jsonl").read_text().splitlines()
    logged = [line["benefits"] for line in map(json.loads, lines) if "benefits" in line]
    assert [[row["comparison"] for row in row_of] for row_of in logged] == [[None, None]]


def test_the_centers_own_page_answers_for_itself(found: Federation) -> None:
    home = found.trainers["center-d"].home
    write_center_report(home, home / "own.html", center="center-d")
    page = (home / "own.html").read_text()
    assert "Did federation help here?" in page
    assert "one case says nothing of its noise" in page
    assert TASKS["segmentation"].metric("dice").label in page
