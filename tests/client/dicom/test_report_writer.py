"""Figures written as SR: each with code and unit, about the segment of the SEG; what is undefined is not there."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from highdicom.sr import srread
from pydicom import Dataset, dcmread

from client.data.conversion import SuvKind
from client.dicom.report_writer import write_report
from client.dicom.seg_writer import write_seg
from tests.support.drawn_mask import ALGORITHM, SHA256, DrawnMask, dciodvfy, draw_mask
from tests.support.mlflow_server import missing

FIGURES = {"volume_ml": 1.5, "suv_max": 7.25, "suv_mean": 3.0, "suv_peak": 5.0, "mtv_ml": 1.4, "tlg": 4.2}


def written(
    folder: Path, figures: dict[str, float | None], suv: SuvKind = "bw", drawn: DrawnMask | None = None
) -> Path:
    """The SR of a mask's figures; its SEG lies beside it."""
    found = drawn or draw_mask(folder / "ct")
    seg = write_seg(found.mask, found.source, ALGORITHM, folder / "seg.dcm")
    write_report(figures, suv, seg, found.source, ALGORITHM, folder / "sr.dcm")
    return folder / "sr.dcm"


def group_in(path: Path) -> Any:
    """The only volumetric group, as highdicom reads it."""
    content: Any = srread(path).content
    (group,) = content.get_volumetric_roi_measurement_groups()
    return group


def numbers(path: Path) -> dict[str, tuple[float, str]]:
    """Name, with its derivation, -> value and unit, as highdicom reads the only group."""
    group = group_in(path)
    return {
        " ".join(part for part in (item.name.meaning, item.derivation.meaning if item.derivation else "") if part): (
            item.value,
            item.unit.value,
        )
        for item in group.get_measurements()
    }


def test_what_the_algorithm_says_of_its_mask_stands_among_its_parameters(tmp_path: Path) -> None:
    drawn, told = draw_mask(tmp_path / "ct"), "review by hand: uncertainty above this center's threshold"
    seg = write_seg(drawn.mask, drawn.source, ALGORITHM, tmp_path / "seg.dcm")
    path = tmp_path / "sr.dcm"
    write_report({"volume_ml": 1.5}, "bw", seg, drawn.source, ALGORITHM, path, [told])
    assert told.encode() in path.read_bytes()
    assert dciodvfy(path) == []


def test_each_figure_has_its_code_and_its_unit(tmp_path: Path) -> None:
    assert numbers(written(tmp_path, dict(FIGURES))) == {
        "Volume": (1.5, "ml"),
        "Metabolic Volume": (1.4, "ml"),
        "Total Lesion Glycolysis": (4.2, "g"),
        "SUVbw Maximum": (7.25, "g/ml{SUVbw}"),
        "SUVbw Mean": (3.0, "g/ml{SUVbw}"),
        "SUVbw Peak Value Within ROI": (5.0, "g/ml{SUVbw}"),
    }


@pytest.mark.parametrize(("suv", "unit"), [("lbm", "g/ml{SUVlbm}"), ("bsa", "cm2/ml{SUVbsa}")])
def test_another_kind_of_suv_has_its_own_code_and_unit(tmp_path: Path, suv: SuvKind, unit: str) -> None:
    found = numbers(written(tmp_path, {"suv_max": 7.25}, suv))
    assert found == {f"SUV{suv} Maximum": (7.25, unit)}
    assert dciodvfy(tmp_path / "sr.dcm") == []


def test_an_undefined_figure_is_not_there(tmp_path: Path) -> None:
    assert numbers(written(tmp_path, {"volume_ml": 1.5, "suv_max": None})) == {"Volume": (1.5, "ml")}


def test_the_group_points_to_the_segment_of_the_seg(tmp_path: Path) -> None:
    path = written(tmp_path, dict(FIGURES))
    seg = dcmread(tmp_path / "seg.dcm")
    group = group_in(path)
    assert group.referenced_segment.referenced_sop_instance_uid == seg.SOPInstanceUID
    assert group.tracking_uid == seg.SegmentSequence[0].TrackingUID


def test_it_says_what_made_it_and_that_it_is_research(tmp_path: Path) -> None:
    path = written(tmp_path, dict(FIGURES))
    texts = [str(item.TextValue) for item in walk(dcmread(path)) if "TextValue" in item]
    assert SHA256 in texts
    assert "research, not a medical device" in texts
    assert dcmread(path).SeriesDescription == f"shared/0002 {SHA256[:12]}; research, not a medical device"


def test_dciodvfy_and_dsrdump_find_nothing_wrong(tmp_path: Path) -> None:
    path = written(tmp_path, dict(FIGURES))
    assert dciodvfy(path) == []
    if (program := shutil.which("dsrdump")) is None:
        missing("dsrdump", "apt-get install dcmtk")
    shown = subprocess.run([str(program), path], capture_output=True, text=True, check=True).stdout
    assert '<contains NUM:(,,"Total Lesion Glycolysis")="4.2" (g,UCUM,"g")>' in shown


def test_the_report_of_a_mask_without_a_voxel_has_no_suv(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path / "ct")
    empty = replace(drawn, mask=replace(drawn.mask, array_zyx=np.zeros_like(drawn.mask.array_zyx)))
    assert numbers(written(tmp_path, {"volume_ml": 0.0, "suv_max": None}, drawn=empty)) == {"Volume": (0.0, "ml")}
    assert dciodvfy(tmp_path / "sr.dcm") == []


def test_a_mask_between_the_slices_refers_to_its_series(tmp_path: Path) -> None:
    drawn = draw_mask(tmp_path / "ct")
    between = replace(drawn, mask=replace(drawn.mask, origin_xyz_mm=(-30.0, -30.0, 1.0)))
    path = written(tmp_path, {"volume_ml": 1.5}, drawn=between)
    assert numbers(path) == {"Volume": (1.5, "ml")}
    assert dciodvfy(path) == []


def walk(item: Dataset) -> list[Dataset]:
    """The item and all content below it."""
    return [item, *(found for child in item.get("ContentSequence", []) for found in walk(child))]
