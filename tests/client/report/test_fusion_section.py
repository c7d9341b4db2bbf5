"""What a page says of fused images."""

import json
from pathlib import Path
from typing import Any

from client.data.manifest import Manifest
from client.data.manifest_file import write_manifest
from client.report.center_report import write_center_report
from client.report.fusion_pictures import FOLDER
from client.report.fusion_section import fusion_section, show_mean
from client.report.task_rows import CaseRow
from protocol.tasks import TASKS
from tests.client.report.test_fusion_pictures import write
from tests.support.center_page import case

MANIFEST = Manifest("north", (case("a", "ct", "pet"), case("b", "ct", "pet")))
NAMES = [metric.name for metric in TASKS["fusion"].metrics]


def row(name: str, ssim: float | None, stage: str = "adapt", setting: str = "ct+pet", **others: float) -> CaseRow:
    return CaseRow(stage, name, setting, {**dict.fromkeys(NAMES), "ssim": ssim, **others})


ROWS = [
    row("a", 0.3, "pretrain", "ct"),
    row("a", 0.5, psnr=20.0, ssim_average=0.6),
    row("b", 0.7, ssim_average=0.8),
    row("a", 0.9, setting="ct"),
]


def test_figures_are_means_over_cases_with_the_undefined_counted() -> None:
    section = fusion_section(Path("nowhere"), MANIFEST, ROWS, ["pretrain", "adapt"])
    figures = {line.name: line.cells for line in section.figures}
    assert section.settings == ["ct+pet", "ct"]
    assert figures["SSIM"] == ("0.600", "0.900")
    assert figures["PSNR"] == ("20.0 dB (1 of 2 undefined)", "undefined")
    assert len(figures) == len(NAMES) - 6


def test_the_network_stands_beside_ways_that_learn_nothing() -> None:
    section = fusion_section(Path("nowhere"), MANIFEST, ROWS, ["pretrain", "adapt"])
    assert [(line.name, line.cells[0]) for line in section.beside] == [
        ("this network", "0.600"),
        ("average", "0.700"),
        ("maximum", "undefined"),
        ("Laplacian pyramid", "undefined"),
    ]
    assert fusion_section(Path("nowhere"), MANIFEST, ROWS[-1:], ["adapt"]).beside == []


def test_every_case_is_followed_through_the_stages() -> None:
    courses = fusion_section(Path("nowhere"), MANIFEST, ROWS, ["pretrain", "adapt"]).courses
    assert [(line.name, line.cells) for line in courses["ct"]] == [("a", ("0.300", "0.900"))]
    assert [line.cells for line in courses["ct+pet"]] == [("absent", "0.500"), ("absent", "0.700")]


def test_what_was_not_scored_after_the_last_stage_is_absent() -> None:
    assert show_mean([], TASKS["fusion"].metric("ssim")) == "absent"


def test_pictures_begin_with_the_lowest_ssim_and_end_with_what_has_none(tmp_path: Path) -> None:
    for name in "abc":
        write(tmp_path, name)
    rows = [row("c", None), row("b", 0.7), row("a", 0.5), row("a", 0.9, setting="ct"), row("d", 0.1)]
    found = fusion_section(tmp_path, MANIFEST, rows, ["adapt"]).pictures
    assert [(picture.title, picture.caption[-9:]) for picture in found] == [
        ("a", "SIM 0.500"),
        ("b", "SIM 0.700"),
        ("c", "undefined"),
    ]


def test_the_page_shows_it_all(tmp_path: Path) -> None:
    write(tmp_path, "a")
    (tmp_path / FOLDER).mkdir(parents=True, exist_ok=True)
    (tmp_path / FOLDER / "b.npz").write_bytes(b"broken")
    rows: list[dict[str, Any]] = [
        {"task": "fusion", "part": "test", "stage": r.stage, "case": r.case, "modalities": r.modalities, **r.values}
        for r in ROWS
    ]
    write_manifest(MANIFEST, tmp_path / "manifest.json")
    (tmp_path / "scores.json").write_text(json.dumps(rows))
    write_center_report(tmp_path, tmp_path / "report.html", center="north")
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png") == 1
    assert "This case cannot be shown: prediction" in page
    assert "Laplacian pyramid" in page
    assert "Mean Dice" not in page
