"""A predicted case: a ball as body, one in it as lesion, another as prediction."""

from typing import Any

import numpy as np

from client.report.pictures import Prediction

SHAPE = (12, 20, 24)


SPACING = (4.0, 3.0, 2.0)


def ball(center: tuple[int, int, int], radius: float) -> np.ndarray:
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    inside = (z - center[0]) ** 2 + (y - center[1]) ** 2 + (x - center[2]) ** 2 <= radius**2
    return inside.astype(np.uint8)


BODY, LESION, GUESS = ball((6, 10, 12), 9), ball((7, 11, 14), 3), ball((7, 12, 15), 3)


CT = np.where(BODY > 0, 40.0, -1000.0).astype(np.float32)


PET = (BODY * 1.0 + LESION * 6.0).astype(np.float32)


def prediction(**changes: Any) -> Prediction:
    parts: dict[str, Any] = {"ct": CT, "pet": PET, "truth": LESION, "predicted": GUESS}
    return Prediction("one", **(parts | changes), spacing_zyx_mm=SPACING, modalities="ct+pet")
