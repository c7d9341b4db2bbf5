from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client.audit import shadows
from client.audit.shadows import draw_halves, train_shadows
from client.audit.target import AuditTarget
from client.learning.cancellation import never_cancelled
from protocol.errors import CancelledError
from tests.support.audited_center import pool, target


@settings(max_examples=20, deadline=None)
@given(st.integers(4, 9), st.sampled_from([4, 6]), st.integers(0, 99))
def test_every_patient_is_in_half_of_the_shadows(patients: int, count: int, seed: int) -> None:
    halves = draw_halves(patients, count, np.random.default_rng(seed))
    assert (halves.sum(axis=0) == count / 2).all()
    assert (halves[0] == ~halves[1]).all()


@pytest.mark.parametrize("count", [2, 5])
def test_too_few_shadows_or_one_without_its_half_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="give an even number from 4 on"):
        draw_halves(6, count, np.random.default_rng(0))


@pytest.fixture
def attacked(tmp_path: Path) -> AuditTarget:
    return target(tmp_path)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of shadows that were trained; each says its number as the loss of every case."""
    numbers: list[int] = []

    def train(_target: Any, _pool: Any, names: Sequence[str], number: int, check: Any) -> np.ndarray:
        check()
        assert len(names) == 2
        numbers.append(number)
        return np.array([number, number, np.nan, number], dtype=np.float64)

    monkeypatch.setattr(shadows, "_train_one", train)
    return numbers


def run(attacked: AuditTarget, folder: Path, check: Any = never_cancelled) -> shadows.Shadows:
    return train_shadows(attacked, pool(), 4, folder, check, lambda _done: None)


def test_what_is_kept_is_not_trained_again(attacked: AuditTarget, tmp_path: Path, trained: list[int]) -> None:
    first, again = run(attacked, tmp_path / "audit"), run(attacked, tmp_path / "audit")
    assert trained == [0, 1, 2, 3]
    np.testing.assert_array_equal(first.losses, again.losses)
    assert np.isnan(again.losses[:, 2]).all()


def test_a_damaged_shadow_is_trained_again(attacked: AuditTarget, tmp_path: Path, trained: list[int]) -> None:
    run(attacked, tmp_path / "audit")
    (kept,) = (tmp_path / "audit").glob("*/002.json")
    kept.write_bytes(kept.read_bytes().replace(b"2.0", b"1.0"))
    run(attacked, tmp_path / "audit")
    assert trained == [0, 1, 2, 3, 2]


def test_an_interrupted_audit_goes_on_behind_what_is_kept(
    attacked: AuditTarget, tmp_path: Path, trained: list[int]
) -> None:
    def stop_at_the_third() -> None:
        if len(trained) == 2:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        run(attacked, tmp_path / "audit", stop_at_the_third)
    run(attacked, tmp_path / "audit")
    assert trained == [0, 1, 2, 3]


def test_shadows_of_other_steps_are_others(attacked: AuditTarget, tmp_path: Path, trained: list[int]) -> None:
    run(attacked, tmp_path / "audit")
    run(target(tmp_path / "longer", steps=2), tmp_path / "audit")
    assert len(trained) == 8
