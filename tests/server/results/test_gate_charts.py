import re

from server.results.charts import MARKS
from server.results.gate_charts import encoder_stages, gates_among, gates_svg


def test_one_panel_for_each_stage_of_the_encoder_in_order() -> None:
    rows: list[dict[str, float]] = [{}, {"gate/2/ct/mean": 0.5}, {"gate/0/pet/std": 0.1, "gate/2/pet/mean": 0.5}]
    assert encoder_stages(rows) == ["0", "2"]


def test_only_figures_of_gates_are_drawn() -> None:
    assert gates_among({"gate/0/ct/mean": 0.5, "other/0": 1.0}) == {"gate/0/ct/mean": 0.5}


def test_ct_and_pet_of_a_stage_share_a_panel_and_unknown_rounds_stay_empty() -> None:
    rows: list[dict[str, float]] = [
        {},
        {f"gate/1/{modality}/{name}": 0.25 for modality in ("ct", "pet") for name in ("mean", "std", "saturated")},
    ]
    drawn = gates_svg(rows, (1, 2), "gates-3")
    assert re.findall(r"encoder stage \d", drawn) == ["encoder stage 1"]
    assert all(MARKS[modality].colour.lower() in drawn for modality in ("ct", "pet"))
    assert all(name.startswith("gates-3-") for name in re.findall(r' id="([^"]+)"', drawn))
