import pytest

from fusion_models.ssm import blocked_scan


@pytest.fixture
def small_slabs(monkeypatch):
    """Four blocks a round and more than one chunk of rows at sizes that a test can pay for."""
    monkeypatch.setitem(blocked_scan.SLAB, "cpu", 64)
