"""Labels of the synthetic cohort: what each source says of a patient, and what is missing."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from client.data.phantom import PLAIN, Ellipsoid, Phantom, Tissue, Tumour, draw_phantom
from client.data.synthetic_labels import (
    COLUMNS,
    SyntheticLabels,
    draw_complete_labels,
    draw_labels,
    ehr_score,
    image_scores,
    log_hazard,
)

EVERYWHERE = Ellipsoid((0, 0, 0), (1e6, 1e6, 1e6))
HALVED = Phantom(
    (Tissue("muscle", EVERYWHERE, 50, 0.6),),
    Tumour(Ellipsoid((0, 0, 0), (20, 20, 20)), (1, 0, 0), 0.0, 50, 8, 3, 1),
    (),
    Ellipsoid((0, 0, 0), (66, 52, 1e6)),
)
HALF_ML = 0.5 * 4 / 3 * math.pi * 8
Cohort = tuple[NDArray[np.float64], list[SyntheticLabels]]


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    """Scores of CT, PET and record (n, 3), and labels, of 100 patients."""
    phantoms = [draw_phantom(np.random.default_rng(seed), PLAIN) for seed in range(100)]
    drawn = [draw_complete_labels(phantom, np.random.default_rng([1, i])) for i, phantom in enumerate(phantoms)]
    rows = [
        (*image_scores(phantom), ehr_score(labels.age_years or 0, labels.stage or 0))
        for phantom, labels in zip(phantoms, drawn, strict=True)
    ]
    return np.array(rows), drawn


def concordance(risk: NDArray[np.float64], labels: list[SyntheticLabels]) -> float:
    days, event = (np.array([getattr(row, name) for row in labels]) for name in ("days", "event"))
    comparable = (event[:, None] == 1) & (days[:, None] < days)
    return float((risk[:, None] > risk)[comparable].mean())


def test_the_score_of_pet_counts_doublings_of_uptake() -> None:
    """Half of a ball of 2 cm is 16.8 ml and takes up 134 ml at SUV 8, 0.84 doublings of 75 ml."""
    assert image_scores(HALVED)[1] == pytest.approx(math.log2(8 * HALF_ML / 75), abs=0.05)


def test_the_score_of_ct_adds_wasted_muscle_and_half_the_doublings_of_the_dull_part() -> None:
    """The usual wall is 0.05 above what counts as 0; 16.8 ml are 0.61 doublings of 11 ml."""
    assert image_scores(HALVED)[0] == pytest.approx(-0.05 / 0.09 + math.log2(HALF_ML / 11) / 2, abs=0.05)
    wasted = replace(HALVED, wall=Ellipsoid((0, 0, 0), (66 * 0.91, 52, 1e6)))
    assert image_scores(wasted)[0] - image_scores(HALVED)[0] == pytest.approx(1)


def test_a_tumour_without_a_dull_part_counts_one_voxel_of_it() -> None:
    hot = replace(HALVED, tumour=replace(HALVED.tumour, offset_mm=-100.0))
    assert image_scores(hot)[0] == pytest.approx(-0.05 / 0.09 + math.log2(0.027 / 11) / 2)


def test_the_record_is_scored_in_standard_deviations() -> None:
    assert ehr_score(74, 3) == pytest.approx((1 + 0.5 / 1.12) / math.sqrt(2))


def test_each_score_adds_its_effect_to_the_log_hazard() -> None:
    assert [log_hazard(1, 0, 0), log_hazard(0, 1, 0), log_hazard(0, 0, 2)] == [1.5, 1.5, 3.2]


def test_each_source_alone_ranks_patients(cohort: Cohort) -> None:
    scores, labels = cohort
    assert all(concordance(column, labels) > 0.58 for column in scores.T)


def test_each_further_source_ranks_better(cohort: Cohort) -> None:
    scores, labels = cohort
    effects = np.array([log_hazard(*one) for one in np.eye(3)])
    ct, ct_pet, every = (concordance(scores[:, :n] @ effects[:n], labels) for n in (1, 2, 3))
    assert ct + 0.04 < ct_pet < every - 0.04


def test_ct_and_pet_say_different_things(cohort: Cohort) -> None:
    ct, pet, _ = ((column - column.mean()) / column.std() for column in cohort[0].T)
    assert abs((ct * pet).mean()) < 0.2


def test_both_images_tell_of_the_class(cohort: Cohort) -> None:
    scores, labels = cohort
    subtype = np.array([row.subtype for row in labels])
    assert all(column[subtype == 1].mean() > column[subtype == 0].mean() + 0.5 for column in scores[:, :2].T)


def test_some_patients_are_censored_and_most_have_the_event(cohort: Cohort) -> None:
    assert 0.1 < np.mean([row.event == 0 for row in cohort[1]]) < 0.5
    assert min(row.days or 0 for row in cohort[1]) >= 1


def test_a_few_values_are_missing_and_a_time_never_without_its_event() -> None:
    drawn = [draw_labels(HALVED, np.random.default_rng([2, i])) for i in range(200)]
    for name in ("subtype", "days", "age_years", "stage"):
        assert 0 < sum(getattr(row, name) is None for row in drawn) < 22
    assert all((row.days is None) == (row.event is None) for row in drawn)


def test_what_is_missing_is_an_empty_cell() -> None:
    assert SyntheticLabels(1, None, None, 63, 2).cells() == ("1", "", "", "63", "2")
    assert len(COLUMNS) == 6
