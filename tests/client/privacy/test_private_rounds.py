"""Private rounds of a center: the noise that fits all of them, and the one that would not fit any more."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from client.data.block_file import RecordsError
from client.home.own_privacy import OwnPrivacy
from client.privacy import private_rounds
from client.privacy.accountant import epsilon_of
from client.privacy.ledger_file import LEDGER, Promise
from client.privacy.privacy_ledger import Bare, PrivacyLedger
from client.privacy.private_rounds import (
    NOISE,
    PrivateRounds,
    PrivateSteps,
    delta_finding,
    planned_trainings,
    release_of,
)
from client.privacy.release import Release, release_without_guarantee
from protocol.enrolment.plan import PlannedRounds, PlannedStage, StudyPlan
from protocol.errors import PrivacyError, PrivacyNoiseError, PrivacySpentError
from protocol.messages.instruction import Instruction
from protocol.messages.privacy import Privacy
from protocol.messages.settings import Model, StudySettings
from tests.support.small_training import stage

TRAINING = stage(local_steps=5, batch_size=4)
ROUNDS = PlannedRounds(training=TRAINING, numbers=(1, 2, 3), rates=(1e-3, 1e-3, 1e-3))
PLAN = StudyPlan(
    stages=(PlannedStage(name="adapt", task="segmentation", first_round=1, last_round=3, rounds=(ROUNDS,)),)
)
PRIVACY = Privacy(epsilon=8, delta=1e-3, clip_norm=0.5, crops=2)
SETTINGS = StudySettings(study="lungs", seed=0, model=Model(name="pemma-unetr-tiny"), privacy=PRIVACY)
NAMES = ["p1", "p2"]
PATIENTS = 20


def asked(server_round: int = 1) -> Instruction:
    return Instruction("train", SETTINGS, "adapt", server_round, training=TRAINING)


def rounds_of(home: Path, own: OwnPrivacy | None = None, plan: StudyPlan | None = PLAN) -> PrivateRounds:
    return PrivateRounds("north", home, plan, own)


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float, float, int, int]]:
    """What noise was asked for, with how many releases before; the answer is 2 and 1 more for each of them."""
    found: list[tuple[float, float, float, int, int]] = []

    def answer(epsilon: float, delta: float, rate: float, steps: int, spent: Sequence[Release]) -> float:
        found.append((epsilon, delta, rate, steps, len(spent)))
        return 2.0 + len(spent)

    monkeypatch.setattr(private_rounds, "noise_multiplier_for", answer)
    return found


def run(rounds: PrivateRounds, server_round: int) -> float:
    steps = rounds.begin(asked(server_round), TRAINING, PATIENTS, NAMES)
    rounds.end(asked(server_round), TRAINING, steps, PATIENTS, NAMES)
    return steps.noise_multiplier


def test_the_noise_is_fixed_before_the_first_round_for_all_of_them(tmp_path: Path) -> None:
    """Fifteen steps at a rate of 4 of 20 spend epsilon 8 with the last; a hundredth less noise would not do."""
    sigmas = [run(rounds_of(tmp_path), number) for number in (1, 2, 3)]
    assert len(set(sigmas)) == 1
    spent = PrivacyLedger(tmp_path).releases()
    assert [release.server_round for release in spent] == [1, 2, 3]
    assert 7.5 < epsilon_of(spent, 1e-3) <= 8
    assert epsilon_of([replace(release, noise_multiplier=sigmas[0] - 0.01) for release in spent], 1e-3) > 8


@pytest.mark.usefixtures("solved")
def test_a_round_more_than_was_planned_sits_out_and_nothing_is_written(tmp_path: Path) -> None:
    """An earlier study with little noise left nothing."""
    rounds = rounds_of(tmp_path)
    PrivacyLedger(tmp_path).record(Release("training", "subsampled-gaussian", 0.6, 0.2, 15, "e", "a", 1), NAMES)
    with pytest.raises(PrivacySpentError, match=r"round 3 of stage 'adapt' would exceed"):
        run(rounds, 3)
    assert len(PrivacyLedger(tmp_path).releases()) == 1


def test_noise_is_solved_once_for_the_rounds_to_come(
    tmp_path: Path, solved: list[tuple[float, float, float, int, int]]
) -> None:
    """Joining at the second of three rounds leaves ten steps, at a rate of 4 of 20."""
    assert [run(rounds_of(tmp_path), number) for number in (2, 3)] == [2, 2]
    assert solved == [(8, 1e-3, 0.2, 10, 0)]


@pytest.mark.usefixtures("solved")
def test_a_round_that_broke_off_before_it_ended_cost_nothing(tmp_path: Path) -> None:
    rounds = rounds_of(tmp_path)
    rounds.begin(asked(), TRAINING, PATIENTS, NAMES)
    assert PrivacyLedger(tmp_path).releases() == ()


@pytest.mark.usefixtures("solved")
def test_what_an_earlier_study_spent_on_the_same_patients_makes_more_noise(tmp_path: Path) -> None:
    earlier = Release("training", "subsampled-gaussian", 2.0, 0.2, 15, "earlier", "adapt", 1)
    PrivacyLedger(tmp_path / "seen").record(earlier, NAMES)
    PrivacyLedger(tmp_path / "others").record(earlier, ["somebody else"])
    assert [run(rounds_of(tmp_path / home), 1) for home in ("fresh", "others", "seen")] == [2, 2, 3]


@pytest.mark.usefixtures("solved")
def test_a_center_whose_patients_have_spent_nearly_all_sits_out_in_place_of_sending_noise(tmp_path: Path) -> None:
    """Three releases before make noise of 5 for four patients a step; who wants that must write so."""
    for number in (1, 2, 3):
        run(rounds_of(tmp_path), number)
    again = replace(asked(), settings=SETTINGS.model_copy(update={"study": "again"}))
    with pytest.raises(
        PrivacyNoiseError, match=r"'north' sits out: .* a value, beyond maximum_noise 1: the update would"
    ):
        rounds_of(tmp_path).begin(again, TRAINING, PATIENTS, NAMES)
    bearing = PRIVACY.model_copy(update={"maximum_noise": 50.0})
    borne = replace(again, settings=again.settings.model_copy(update={"privacy": bearing}))
    assert rounds_of(tmp_path).begin(borne, TRAINING, PATIENTS, NAMES).noise_multiplier == 5


def test_what_left_without_a_guarantee_before_costs_no_noise_and_is_said(
    tmp_path: Path, solved: list[tuple[float, float, float, int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    """Of both patients an earlier study trained without noise; of somebody else a score left."""
    training, score = (release_without_guarantee(kind, "open", "adapt", 1) for kind in ("training", "score"))
    bare = [Bare(training, "one", frozenset(NAMES)), Bare(score, "two", frozenset(["somebody else"]))]
    PrivacyLedger(tmp_path).record_bare(bare)
    assert run(rounds_of(tmp_path), 1) == 2
    assert solved == [(8, 1e-3, 0.2, 15, 0)]
    assert "left without a guarantee: 1 training(s), since" in caplog.text


def test_noise_is_solved_for_the_strictest_of_all_promises(
    tmp_path: Path, solved: list[tuple[float, float, float, int, int]]
) -> None:
    """An earlier study promised epsilon 3 to one of the two; its one release makes 3 of the noise of 2."""
    earlier = Release("training", "subsampled-gaussian", 20.0, 0.2, 15, "earlier", "adapt", 1)
    PrivacyLedger(tmp_path).spend(earlier, NAMES[:1], Promise(3.0, 1e-4))
    assert run(rounds_of(tmp_path), 1) == 3
    assert solved == [(8, 1e-3, 0.2, 15, 1), (3, 1e-4, 0.2, 15, 1)]


def test_a_lax_study_after_a_strict_one_keeps_the_strict_promise(tmp_path: Path) -> None:
    earlier = Release("training", "subsampled-gaussian", 20.0, 0.2, 15, "earlier", "adapt", 1)
    PrivacyLedger(tmp_path).spend(earlier, NAMES[:1], Promise(3.0, 1e-3))
    for number in (1, 2, 3):
        run(rounds_of(tmp_path), number)
    assert 2.5 < epsilon_of(PrivacyLedger(tmp_path).releases(), 1e-3) <= 3


@pytest.mark.usefixtures("solved")
def test_the_round_with_which_it_would_exceed_is_said_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Epsilon is what two of three rounds cost."""
    two = [Release("training", "subsampled-gaussian", 2.0, 0.2, 5, "lungs", "adapt", number) for number in (1, 2)]
    own = OwnPrivacy(epsilon=epsilon_of(two, 1e-3), delta=1e-3, weaker="tighten")
    run(rounds_of(tmp_path, own), 1)
    assert "with this noise round 3 of stage 'adapt' would exceed" in caplog.text


@pytest.mark.parametrize("damage", ["changed", "lost"])
def test_a_ledger_that_cannot_be_trusted_refuses_the_study(tmp_path: Path, damage: str) -> None:
    PrivacyLedger(tmp_path).record(Release("gram", "gaussian", 4.0, 1.0, 1, "s", "a", 1), NAMES)
    text = (tmp_path / LEDGER).read_text()
    (tmp_path / LEDGER).write_text(text.replace("4.0", "9.0") if damage == "changed" else "")
    with pytest.raises(RecordsError, match=r"privacy\.jsonl"):
        rounds_of(tmp_path).check(SETTINGS)
    assert rounds_of(tmp_path).check(SETTINGS.model_copy(update={"privacy": None})) is None


def test_a_center_that_holds_to_less_epsilon_has_its_own_numbers(
    tmp_path: Path, solved: list[tuple[float, float, float, int, int]]
) -> None:
    own = OwnPrivacy(epsilon=3, delta=1e-4, clip_norm=0.1, weaker="tighten")
    strict = rounds_of(tmp_path / "own", own).begin(asked(), TRAINING, PATIENTS, NAMES)
    plain = rounds_of(tmp_path / "plain").begin(asked(), TRAINING, PATIENTS, NAMES)
    assert solved == [(3, 1e-4, 0.2, 15, 0), (8, 1e-3, 0.2, 15, 0)]
    assert strict.norms == pytest.approx(0.1)
    assert (plain.norms, plain.sample_rate, plain.expected, plain.crops) == (0.5, 0.2, 4, 2)


def test_noise_that_was_lost_or_changed_is_solved_anew(
    tmp_path: Path, solved: list[tuple[float, float, float, int, int]], caplog: pytest.LogCaptureFixture
) -> None:
    run(rounds_of(tmp_path), 1)
    kept = json.loads((tmp_path / NOISE).read_text())
    kept["lungs"]["noise_multiplier"] = 0.01
    (tmp_path / NOISE).write_text(json.dumps(kept))
    assert run(rounds_of(tmp_path), 2) == 3
    assert [steps for _, _, _, steps, _ in solved] == [15, 10]
    assert "the noise of rounds to come is solved anew" in caplog.text


@pytest.mark.usefixtures("solved")
def test_another_number_of_patients_is_another_noise(tmp_path: Path) -> None:
    rounds = rounds_of(tmp_path)
    run(rounds, 1)
    assert rounds.begin(asked(2), TRAINING, PATIENTS + 1, NAMES).noise_multiplier == 3


def test_without_a_plan_nobody_knows_how_much_noise_it_takes(tmp_path: Path) -> None:
    with pytest.raises(PrivacyError, match="give --terms, the agreement"):
        rounds_of(tmp_path, plan=None).check(SETTINGS)
    assert rounds_of(tmp_path, plan=None).check(SETTINGS.model_copy(update={"privacy": None})) is None


def test_a_delta_that_lets_one_patient_go_is_refused_with_one_to_write(tmp_path: Path) -> None:
    assert delta_finding(1e-3, 999) == ""
    assert "write delta below 0.001, such as 0.0001" in delta_finding(1e-3, 1000)
    assert "no patient can train" in delta_finding(1e-3, 0)
    with pytest.raises(PrivacyError, match="is no less than 1/n of 1000 training patient"):
        rounds_of(tmp_path).begin(asked(), TRAINING, 1000, NAMES)


def test_a_plan_has_every_round_and_a_round_is_one_release() -> None:
    assert [number for number, _ in planned_trainings(PLAN)] == [1, 2, 3]
    steps = rounds_steps()
    release = release_of(asked(2), TRAINING, steps)
    assert (release.noise_multiplier, release.sample_rate, release.steps) == (1.5, 0.2, 5)
    assert (release.study, release.stage, release.server_round) == ("lungs", "adapt", 2)


def rounds_steps() -> PrivateSteps:
    return PrivateSteps(0.5, 1.5, 0.2, 4.0)
