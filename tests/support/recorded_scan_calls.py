"""What a directional scan hands to the selective scan, call by call."""

from typing import Any

import pytest

from fusion_models.ssm import directional_scan
from fusion_models.ssm.selective_scan import selective_scan_fn


def record_scan_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """A list that grows by the positional arguments of every call."""
    calls: list[tuple[Any, ...]] = []

    def record(*arguments: Any, **settings: Any) -> Any:
        calls.append(arguments)
        return selective_scan_fn(*arguments, **settings)

    monkeypatch.setattr(directional_scan, "selective_scan_fn", record)
    return calls
