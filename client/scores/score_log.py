"""What a center remembers of its own test cases: scores per stage, and the latest prediction of each case.

Written under the center's home, read by its report; nothing of it travels.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.data.preprocessing import PreparedCase
from client.scores.metrics import CaseScore
from protocol.messages.settings import Preprocessing
from protocol.storage.atomic_files import write_bytes, write_text


def record_scores(home: Path, stage: str, scores: Sequence[CaseScore]) -> None:
    """Replace the stage's rows in `scores.json`, so that a repeated evaluation counts once."""
    path = home / "scores.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    kept = [row for row in rows if row["stage"] != stage]
    new = [{"part": "test", "stage": stage, **asdict(score)} for score in scores]
    write_text(path, json.dumps(kept + new, indent=1))


def record_prediction(
    home: Path, case: PreparedCase, setting: str, predicted: NDArray[np.uint8], settings: Preprocessing
) -> None:
    """Write images, contour and prediction on the study grid to `predictions/<case>.npz` (HU, SUV, 0/1)."""
    windows = {"ct": settings.ct_window_hu, "pet": settings.pet_window_suv}
    arrays: dict[str, Any] = {"predicted": predicted}
    arrays |= {
        name: (getattr(case, name) * (high - low) + low).astype(np.float32)
        for name, (low, high) in windows.items()
        if getattr(case, name) is not None
    }
    if case.gtv is not None:
        arrays["gtv"] = case.gtv
    arrays |= {"spacing_zyx_mm": np.asarray(settings.spacing_zyx_mm), "modalities": np.asarray(setting)}
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)
    path = home / "predictions" / f"{case.name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, buffer.getvalue())
