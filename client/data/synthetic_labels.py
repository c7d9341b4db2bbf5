"""Labels of the synthetic cohort: time to an event, class and covariates, drawn from what images and record show.

    eta = a_CT s_CT + a_PET s_PET + a_E s_E
    T   = SCALE_DAYS (E / exp(eta))^(1 / SHAPE)              E ~ Exp(1): Weibull with proportional hazards
    C   ~ U(CENSORED_DAYS),    days = min(T, C),    event = [T <= C]
    subtype = 1 with probability 1 / (1 + exp(-a_class (s_CT + s_PET)))

    s_CT      how much muscle is wasted and how much of the tumour is dull: CT shows both, PET neither clearly
              (MUSCLE - m) / 0.09 + log2(V_dull / 11 ml) / 2,  m what is within the fat as a share of the usual
    s_PET     log2(U_hot / 75 ml),  U_hot SUV times volume of the tumour's hot part (total lesion glycolysis), which CT
              does not show
    s_E       (z(age) + z(stage)) / sqrt(2), in the record alone; stage is 1 to 4

The three say different things of a patient, so a model that reads more of them ranks better. Labels have a random
generator of their own: images do not depend on them. Some values are missing, as in real tables.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from client.data.phantom import USUAL_WALL_MM, Phantom, rasterise
from client.data.scanner import grid_around_zero, points_of

COLUMNS = ("case", "subtype", "days", "event", "age_years", "stage")
VOXEL_ZYX_MM = (3.0, 3.0, 3.0)
DULL_ML, HOT_UPTAKE_ML = 11.0, 75.0
MUSCLE, DEVIATION = 0.95, 0.09
AGE_YEARS, STAGE = (63.0, 11.0), (2.5, 1.12)
CT_EFFECT, PET_EFFECT, EHR_EFFECT, CLASS_EFFECT = 1.5, 1.5, 1.6, 2.0
SCALE_DAYS, SHAPE = 900.0, 1.5
CENSORED_DAYS = (300.0, 4000.0)
AGES = (30.0, 90.0)
STAGES = (1, 2, 3, 4)
MISSING = 0.04


@dataclass(frozen=True)
class SyntheticLabels:
    """A patient's row of the table; None where a value is missing. `days` and `event` are missing together."""

    subtype: int | None
    days: int | None
    event: int | None
    age_years: int | None
    stage: int | None

    def cells(self) -> tuple[str, ...]:
        """As text in the order of the columns after `case`; what is missing is empty."""
        values = (self.subtype, self.days, self.event, self.age_years, self.stage)
        return tuple("" if value is None else str(value) for value in values)


def draw_labels(phantom: Phantom, rng: Generator) -> SyntheticLabels:
    """A patient's labels, with a few values gone missing."""
    whole = draw_complete_labels(phantom, rng)
    gone = {name for name in ("subtype", "days", "age_years", "stage") if rng.random() < MISSING}
    if "days" in gone:
        gone.add("event")
    return replace(whole, **dict.fromkeys(gone))


def draw_complete_labels(phantom: Phantom, rng: Generator) -> SyntheticLabels:
    """A patient's labels before any goes missing."""
    ct, pet = image_scores(phantom)
    age, stage = draw_record(rng)
    hazard = math.exp(log_hazard(ct, pet, ehr_score(age, stage)))
    time_days = SCALE_DAYS * (rng.exponential() / hazard) ** (1 / SHAPE)
    censored_days = rng.uniform(*CENSORED_DAYS)
    likely = 1 / (1 + math.exp(-CLASS_EFFECT * (ct + pet)))
    return SyntheticLabels(
        subtype=int(rng.random() < likely),
        days=max(1, round(min(time_days, censored_days))),
        event=int(time_days <= censored_days),
        age_years=round(age),
        stage=stage,
    )


def draw_record(rng: Generator) -> tuple[float, int]:
    """Age in years and stage."""
    return float(np.clip(rng.normal(*AGE_YEARS), *AGES)), int(rng.choice(STAGES))


def log_hazard(ct: float, pet: float, ehr: float) -> float:
    """eta from the three scores."""
    return CT_EFFECT * ct + PET_EFFECT * pet + EHR_EFFECT * ehr


def image_scores(phantom: Phantom) -> tuple[float, float]:
    """s_CT and s_PET; a part counts as at least one voxel of 3 mm."""
    points = points_of(grid_around_zero(VOXEL_ZYX_MM))
    heat = phantom.tumour.heat(points)[rasterise(phantom, points).tumour]
    dull_ml, hot_ml = (max(float(part.sum()), 1.0) * math.prod(VOXEL_ZYX_MM) / 1000 for part in (1 - heat, heat))
    wasted = (MUSCLE - phantom.wall.radii_mm[0] / USUAL_WALL_MM) / DEVIATION
    return wasted + math.log2(dull_ml / DULL_ML) / 2, math.log2(hot_ml * phantom.tumour.hot_suv / HOT_UPTAKE_ML)


def ehr_score(age_years: float, stage: int) -> float:
    """s_E = (z(age) + z(stage)) / sqrt(2)."""
    return (_z(age_years, AGE_YEARS) + _z(stage, STAGE)) / math.sqrt(2)


def _z(value: float, scale: tuple[float, float]) -> float:
    mean, deviation = scale
    return (value - mean) / deviation
