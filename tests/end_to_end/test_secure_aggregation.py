"""Four centers whose coordinator sees sums alone learn what four in the open learn.

Who leaves at which phase is tried in `tests/server/rounds/test_summed_round.py`; `benchmarks/killed_sums.py` kills real
processes that sum over TLS.
"""

from pathlib import Path

import numpy as np
import pytest

from protocol.errors import QuorumError, SecureSumError, StorageError
from protocol.messages.instruction import Instruction
from server.rounds import summed_round
from tests.support import summed_study
from tests.support.light_study import Light
from tests.support.summed_study import in_the_open, summed

pytestmark = pytest.mark.usefixtures("no_report")

CLOSE = 5e-7
"""A few float32 steps: a round moves tensors by about 1e-4, so that another weight shows from 1e-6 on."""


def check_equal(hidden: Light, plain: Light) -> None:
    for key, array in plain.state.shared.items():
        assert np.abs(hidden.state.shared[key] - array).max() < CLOSE, key


@pytest.mark.parametrize("scheme", ["alt-exact", "fedit", "ffa-lora"])
def test_the_mean_is_that_of_the_open_study(tmp_path: Path, scheme: str) -> None:
    """Over two rounds, with 5, 8, 3 and 6 cases."""
    hidden, plain = summed(tmp_path / "hidden", scheme), in_the_open(tmp_path / "open", scheme)
    hidden.run()
    plain.run()
    check_equal(hidden, plain)


def test_the_mean_is_that_of_the_open_study_where_the_file_names_cases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """a has 40 of them, above four times the others' 5, 8 and 6: named, they count; its share is 0.46."""
    cases, text = {"a": 40, "b": 5, "c": 8, "d": 6}, summed_study.study_text
    for name, found in cases.items():
        monkeypatch.setitem(summed_study.CASES_OF, name, found)

    def named(*arguments: str) -> str:
        found = text(*arguments)
        for name, count in cases.items():
            found = found.replace(f"[centers.{name}]\n", f"[centers.{name}]\ntraining_cases = {count}\n")
        return found

    monkeypatch.setattr(summed_study, "study_text", named)
    hidden, plain = summed(tmp_path / "hidden", "fedit"), in_the_open(tmp_path / "open", "fedit")
    hidden.run()
    plain.run()
    check_equal(hidden, plain)


def test_a_round_that_was_refused_is_repeated_with_fresh_keys(tmp_path: Path) -> None:
    """Two of four are gone when round 2 is to be unmasked; with all four back the study goes on from round 1."""

    def leave(instruction: Instruction) -> None:
        if (instruction.kind, instruction.server_round) == ("unmask", 2):
            raise SecureSumError("gone")

    hidden, plain = summed(tmp_path / "hidden", "fedit"), in_the_open(tmp_path / "open", "fedit")
    for name in "bc":
        hidden.centers[name].before = leave
    with pytest.raises(QuorumError, match="the sum cannot be unmasked"):
        hidden.run()
    assert hidden.state.server_round == 1
    for name in "bc":
        hidden.centers[name].before = None
    hidden.run()
    plain.run()
    check_equal(hidden, plain)


def test_a_crash_after_a_sum_was_opened_is_made_good_by_the_same_centers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without center b the centers open round 1 no second time; with it the study goes on as if nothing had been."""

    def crash(*_arguments: object) -> None:
        raise StorageError("full")

    def leave(instruction: Instruction) -> None:
        if instruction.kind == "train":
            raise SecureSumError("gone")

    hidden, plain = summed(tmp_path / "hidden", "fedit"), in_the_open(tmp_path / "open", "fedit")
    with monkeypatch.context() as crashing:
        crashing.setattr(summed_round, "after_round", crash)
        with pytest.raises(StorageError):
            hidden.run()
    hidden.centers["b"].before = leave
    with pytest.raises(QuorumError, match="the sum cannot be unmasked"):
        hidden.run()
    hidden.centers["b"].before = None
    hidden.run()
    plain.run()
    check_equal(hidden, plain)
