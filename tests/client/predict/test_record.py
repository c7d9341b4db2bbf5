"""The record of a prediction: its words, units and identities."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from client.data.conversion import PetValues, SuvKind
from client.predict.figures import Figures
from client.predict.record import describe_figures, describe_prediction, suv_kind, unit_of
from tests.support.drawn_mask import SHA256
from tests.support.predicted_scan import made_scan, predictor


def test_it_says_by_what_from_what_and_that_it_is_research(tmp_path: Path) -> None:
    scan = made_scan(tmp_path).scan
    found = describe_prediction(predictor().predict(scan), {"mask": "m.nii.gz"}, {})
    assert (found["notice"], found["study"]) == ("research, not a medical device", "small")
    assert (found["adapter"]["sha256"], found["adapter"]["version"]) == (SHA256, 2)
    assert found["input"] == dict(scan.origins)
    assert (found["grid"]["of"], found["grid"]["shape_zyx"]) == ("ct", (20, 40, 42))
    assert found["pet_values"]["kind"] == "bw"


def test_it_says_that_the_grid_is_not_that_of_the_slices(tmp_path: Path) -> None:
    scan = made_scan(tmp_path).scan
    lost = replace(scan, ct_headers=[header for z, header in enumerate(scan.ct_headers) if z != 9])
    assert describe_prediction(predictor().predict(lost), {}, {})["grid"]["of"] == "ct, resampled"


def test_the_documents_say_what_each_key_holds(tmp_path: Path) -> None:
    record = describe_prediction(predictor().predict(made_scan(tmp_path).scan), {}, {})
    text = (Path(__file__).resolve().parents[3] / "docs" / "predict.md").read_text()
    section = text.split("## The record")[1].split("## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(record)
    assert [name for name in record["grid"] if f"`{name}`" not in section] == []


def test_files_of_images_have_no_identities(tmp_path: Path) -> None:
    scan = replace(made_scan(tmp_path).scan, origins={}, pet_values=None)
    found = describe_prediction(predictor().predict(scan), {}, {})
    assert (found["input"], found["pet_values"]) == ({}, None)


def test_an_undefined_figure_is_null_with_its_reason() -> None:
    figures = Figures({"volume_ml": 0.0, "suv_max": None}, {"suv_max": "there is no PET"})
    assert describe_figures(figures, "bw") == {
        "volume_ml": {"value": 0.0, "unit": "ml"},
        "suv_max": {"value": None, "unit": "g/ml", "undefined": "there is no PET"},
    }


@pytest.mark.parametrize(
    ("kind", "suv", "total"), [("bw", "g/ml", "g"), ("lbm", "g/ml", "g"), ("bsa", "cm2/ml", "cm2")]
)
def test_units_follow_the_kind_of_suv(kind: SuvKind, suv: str, total: str) -> None:
    assert (unit_of("suv_peak", kind), unit_of("tlg", kind), unit_of("mtv_ml", kind)) == (suv, total, "ml")


def test_suv_are_by_body_weight_where_nothing_says_otherwise(tmp_path: Path) -> None:
    scan = made_scan(tmp_path).scan
    assert suv_kind(replace(scan, pet_values=None)) == "bw"
    assert suv_kind(replace(scan, pet_values=PetValues("bsa", "units"))) == "bsa"
