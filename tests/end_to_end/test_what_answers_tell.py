"""What somebody who knows every public value can compute of single patients from a center's answers: nothing.

Each attack is tried on what once left, or would leave with public draws, and finds every patient; then on what leaves.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.cli.app import build_trainer
from client.data.preprocessing import PreparedCase
from client.home.draw_key import PUBLIC
from client.learning.outcome import round_generator, round_loss
from client.learning.training import train_locally
from client.outgoing.rounding import round_figures
from client.outgoing.withholding import withhold
from client.service.trainer_options import trainer_options
from client.tasks.contract import Batch, CenterTask
from client.tasks.pairing import compare_pairs
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.settings import Model, StudySettings, Training
from protocol.messages.text import to_text
from tests.support.segmentation_task import row

ASKED = Instruction("compare", StudySettings(study="s", seed=5, model=Model(name="none")), "adapt", 3)
OWN_KEY = b"k" * 32
Floats = NDArray[np.float64]


def told(differences: Floats) -> Reply:
    """What leaves of a comparison by Dice in which each patient changed by so much."""
    new, old = (
        {str(number): row(str(number), dice=0.5 + sign * change / 2) for number, change in enumerate(differences)}
        for sign in (1, -1)
    )
    reply = Reply("a", "compare", comparison=compare_pairs(new, old, "dice"))
    return round_figures(withhold(reply, 5, "segmentation")[0])


@pytest.mark.parametrize("cases", [5, 8, 20, 50])
def test_bootstrap_means_of_known_draws_were_every_patient(cases: int) -> None:
    """1,000 means are 1,000 equations; the draws follow from seed, stage, round and the center's name."""
    differences = np.random.default_rng(cases).normal(0, 0.1, cases)
    drawn = round_generator(ASKED, "a", PUBLIC).integers(cases, size=(1000, cases))
    shares = np.stack([np.bincount(of_one, minlength=cases) for of_one in drawn]) / cases
    found = np.linalg.lstsq(shares, differences[drawn].mean(axis=1))[0]
    assert np.abs(found - differences).max() < 1e-12


@pytest.mark.parametrize("cases", [5, 6, 8, 13, 20, 50])
def test_a_comparison_is_the_same_for_other_patients(cases: int) -> None:
    """Turned about their mean, all patients are others, and what leaves is the same text."""
    rng = np.random.default_rng(cases)
    differences = rng.normal(0.05, 0.1, cases)
    away = rng.normal(size=(cases, cases - 1))
    basis = np.linalg.qr(np.column_stack([np.ones(cases), away]))[0][:, 1:]
    turn = np.linalg.qr(rng.normal(size=(cases - 1, cases - 1)))[0]
    others = differences.mean() + basis @ turn @ basis.T @ (differences - differences.mean())
    assert np.abs(np.sort(others) - np.sort(differences)).max() > 0.02
    assert to_text(told(others)) == to_text(told(differences))


def test_a_comparison_has_a_count_and_two_figures_and_nothing_else() -> None:
    comparison = json.loads(to_text(told(np.linspace(-0.1, 0.2, 6))))["comparison"]
    assert comparison == {"cases": 6, "difference": 0.05, "standard_error": 0.042, "score": None}


def test_the_digits_that_leave_do_not_name_the_volumes_behind_a_mean() -> None:
    """Answered with "lesion everywhere", Dice is 2T / (N + T); five of 32 volumes T, N = 4096 voxels.

    In full the mean has one set of five; as it leaves, with its standard error, it has several; of any
    volumes at all, some million times as many.
    """
    volumes = np.random.default_rng(1).choice(np.arange(200, 900), 32, replace=False)
    dice = 2 * volumes / (4096 + volumes)
    every = np.array(list(combinations_with_replacement(range(32), 5)))
    means, errors = dice[every].mean(axis=1), dice[every].std(axis=1) / 5**0.5
    chosen = dice[[3, 9, 14, 20, 27]]
    left = told(chosen).comparison
    assert left is not None
    assert left.difference is not None
    assert left.standard_error is not None
    assert (np.abs(means - chosen.mean()) < 1e-15).sum() == 1
    fits = (np.abs(means - left.difference) <= 5e-5) & (errors > left.standard_error - 1e-3)
    assert (fits & (errors <= left.standard_error)).sum() > 5


@dataclass(frozen=True)
class KnownLosses:
    """A task whose loss of a case is a number of its own, whatever the network: a network that does not move."""

    losses: Mapping[str, float]
    without_repeats: bool = False
    name: str = "survival"

    def has_target(self, _case: PreparedCase) -> bool:
        return True

    def runs(self, _setting: str) -> bool:
        return True

    def fitted_to(self, _cases: Sequence[PreparedCase]) -> "KnownLosses":
        return self

    def draw_batch(
        self, cases: Sequence[PreparedCase], setting: str, size: int, _device: torch.device, rng: np.random.Generator
    ) -> Batch:
        once = rng.permutation(len(cases))[:size]
        drawn = once if self.without_repeats else rng.integers(len(cases), size=size)
        return Batch(tuple(cases[int(place)].name for place in drawn), setting)

    def loss(self, _model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        mean = float(np.mean([self.losses[name] for name in batch.cases]))
        return torch.tensor(mean, dtype=torch.float64), torch.zeros(1)


def round_of(task: KnownLosses, number: int, key: bytes, steps: int, batch_size: int, *, coarse: bool) -> float:
    """The mean loss that leaves after one round, or the exact one."""
    training = Training(
        groups=("peft",),
        local_steps=steps,
        learning_rate=1e-9,
        batch_size=batch_size,
        modality_shares={"ehr": 1.0},
    )
    cases = [PreparedCase(name, ehr=np.zeros(1, np.float32)) for name in task.losses]
    trained = train_locally(
        nn.Linear(1, 1),
        {"w": nn.Parameter(torch.zeros(1))},
        cases,
        task=cast("CenterTask", task),
        training=training,
        model_settings=["ehr"],
        rng=round_generator(replace(ASKED, server_round=number), "a", key),
    )
    told = round_loss(trained) if coarse else trained.loss
    assert told is not None
    return round(told, 4) if coarse else told


LOSSES = dict(zip("abcdef", (0.2, 0.9, 0.4, 1.7, 0.6, 1.1), strict=True))
TRUE = np.array(list(LOSSES.values()))


def by_equations(key: bytes, *, coarse: bool) -> Floats:
    """The loss of each patient from 30 rounds of eight steps, as one who repeats the public draws solves for them."""
    names, rounds = list(LOSSES), range(30)
    shares = [
        [round_of(KnownLosses({n: float(n == name) for n in names}), r, PUBLIC, 8, 1, coarse=False) for name in names]
        for r in rounds
    ]
    means = [round_of(KnownLosses(LOSSES), r, key, 8, 1, coarse=coarse) for r in rounds]
    found: Floats = np.linalg.lstsq(np.array(shares), np.array(means))[0]
    return found


def test_losses_of_known_draws_were_every_patient() -> None:
    assert np.abs(by_equations(PUBLIC, coarse=False) - TRUE).max() < 1e-6


def test_losses_of_a_centers_own_draws_are_nobodys() -> None:
    """What is solved for has nothing to do with the patients: about as far from them as their mean is."""
    found = by_equations(OWN_KEY, coarse=True)
    assert np.abs(found - TRUE).max() > 0.5
    assert abs(np.corrcoef(found, TRUE)[0, 1]) < 0.8


def one_left_out(*, coarse: bool) -> set[float]:
    """The different means of 60 rounds, each of one step over five of the six patients, whoever they are."""
    task = KnownLosses(LOSSES, without_repeats=True)
    return {round(round_of(task, number, OWN_KEY, 1, 5, coarse=coarse), 6) for number in range(60)}


def test_means_over_all_but_one_were_every_patient_whatever_the_draws() -> None:
    """Six means v of five: their sum is that of the losses, and each loss is the sum less 5 v."""
    means = one_left_out(coarse=False)
    assert sorted(sum(means) - 5 * mean for mean in means) == pytest.approx(sorted(TRUE), abs=1e-4)


def test_means_over_all_but_one_leave_as_one_or_two_numbers() -> None:
    """Losses from 0.64 to 0.94, in steps of a tenth of the loss."""
    assert len(one_left_out(coarse=True)) <= 3


def test_a_trainer_that_listens_for_a_coordinator_draws_from_a_key_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two homes, two keys; each is kept."""
    keys: list[bytes] = []

    def note(*_: Any, draw_key: bytes, **__: Any) -> object:
        keys.append(draw_key)
        return object()

    monkeypatch.setattr("client.service.trainer.Trainer", note)
    for home in ("a", "b", "a"):
        build_trainer(trainer_options(tmp_path / home, center="a", data=tmp_path, socket=tmp_path / "s"))
    assert [len(key) for key in keys] == [32, 32, 32]
    assert keys[0] == keys[2] != keys[1]
