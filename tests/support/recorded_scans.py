"""The scans a network asks for, noted instead of carried out: the meta device has shapes only."""

import pytest
from torch import Tensor


def scans_of(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """(width, length) of every scan from here on, in order; each hands its input on."""
    asked: list[tuple[int, int]] = []

    def stub(u: Tensor, *_: object, **__: object) -> Tensor:
        asked.append((u.shape[1], u.shape[2]))
        return u

    for module in ("s6", "vss"):
        monkeypatch.setattr(f"fusion_models.ssm.{module}.selective_scan_fn", stub)
    return asked
