"""What `check` says of privacy: agreement, cost in noise, and that few patients had better do without."""

from pathlib import Path
from typing import Any

import pytest

from client.cli.privacy_part import UNSEEN, NoiseTable, examine_privacy, noise_lines
from client.cli.study_part import StudyPart
from client.data.checks import Issue
from client.data.manifest import Case, Manifest
from client.home.own_privacy import OwnPrivacy
from client.privacy import viability
from client.privacy.ledger_file import LEDGER, Promise
from client.privacy.privacy_ledger import Bare, PrivacyLedger
from client.privacy.release import Release, release_without_guarantee

PRIVACY = {"epsilon": 8, "delta": 1e-3, "clip_norm": 1.0}
STAGE = {"name": "adapt", "centers": ["north"], "rounds": 3, "settle_rounds": 1, "local_steps": 5, "batch_size": 4}


def part(privacy: dict[str, float] | None = PRIVACY) -> StudyPart:
    said: dict[str, Any] = {
        "name": "lungs",
        "model": {"name": "m"},
        "centers": {"north": {}},
        "stages": [STAGE],
        "privacy": privacy,
    }
    return StudyPart.model_validate(said)


def manifest(patients: int) -> Manifest:
    cases = (Case(f"case-{n}-{scan}", f"p{n}", "north", {}, {}, {}) for n in range(patients) for scan in range(2))
    return Manifest("north", tuple(cases))


def examined(
    patients: int,
    own: OwnPrivacy | None = None,
    privacy: dict[str, float] | None = PRIVACY,
    home: Path | None = None,
) -> tuple[NoiseTable | None, list[Issue]]:
    cases = manifest(patients)
    return examine_privacy(cases, {case.name: "train" for case in cases.cases}, part(privacy), own, home)


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int, int, int]]:
    """What the noise was solved for; nothing is solved here."""
    found: list[tuple[float, int, int, int]] = []

    def costs(
        epsilons: list[float], delta: float, patients: int, batch: int, steps: int, bounds: object
    ) -> tuple[object, ...]:
        found.append((delta, patients, batch, steps))
        return tuple(viability.NoiseCost(epsilon, 2.0, 0.5) for epsilon in epsilons)

    monkeypatch.setattr(viability, "noise_costs", costs)
    return found


def test_the_cost_is_of_patients_and_of_every_step_of_the_study(asked: list[tuple[float, int, int, int]]) -> None:
    """Two scans of each of 60 patients; four rounds of five steps of four patients."""
    table, issues = examined(60)
    assert asked == [(1e-3, 60, 4, 20)]
    rows = [f"  epsilon {epsilon}: sigma 2.00, 0.500 a coordinate" for epsilon in (8, 3, 1)]
    assert noise_lines(table)[1:] == [*rows, f"  {UNSEEN}"]
    assert issues == []


def test_few_patients_are_told_what_to_do_instead() -> None:
    _, (issue,) = examined(20)
    assert (issue.code, issue.grade) == ("few-patients", "warning")
    assert "local-only" in issue.message
    assert "[secure_aggregation]" in issue.message


def test_a_delta_of_one_patient_is_an_error_and_nothing_is_solved(asked: list[tuple[float, int, int, int]]) -> None:
    table, (issue,) = examined(2000)
    assert (table, issue.code, issue.fatal, asked) == (None, "privacy", True, [])


def test_a_center_that_holds_to_more_is_told_so_before_it_joins() -> None:
    table, (issue,) = examined(60, OwnPrivacy(epsilon=3, delta=1e-4))
    assert (table, issue.code) == (None, "privacy")
    assert "asks for less privacy than center 'north' holds to" in issue.message


def test_nothing_is_said_where_nobody_asks_for_privacy() -> None:
    assert examined(20, None, None) == (None, [])
    assert noise_lines(None) == ()


def test_where_no_noise_suffices_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viability, "noise_costs", lambda *_: (viability.NoiseCost(8, None, None),))
    table, (issue,) = examined(60)
    assert table is not None
    assert (issue.code, issue.fatal) == ("privacy", True)
    assert "no noise lets 20 step(s) stay within epsilon 8" in issue.message
    assert table.lines()[1] == "  epsilon 8: more than any noise buys"
    assert table.as_object()["costs"] == ({"epsilon": 8, "noise_multiplier": None, "a_coordinate": None},)


def test_a_center_that_would_send_noise_is_told_that_it_would_sit_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the clipping norm over 4 patients a step is 0.5 a value."""
    monkeypatch.setattr(viability, "noise_costs", lambda *_: (viability.NoiseCost(8, 2.0, 0.5),))
    assert examined(60, privacy=PRIVACY | {"maximum_noise": 0.5})[1] == []
    _, (issue,) = examined(60, privacy=PRIVACY | {"maximum_noise": 0.4})
    assert (issue.code, issue.fatal) == ("privacy", True)
    assert "would sit out: noise of 2 clipping norms over 4 patient(s) expected a step is 0.5 a value" in issue.message


def test_the_stage_that_expects_fewest_patients_decides_on_sitting_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a clipping norm a value with four patients a step is two with one."""
    monkeypatch.setattr(viability, "noise_costs", lambda *_: (viability.NoiseCost(8, 2.0, 0.5),))
    monkeypatch.setitem(STAGE, "batch_size", 1)
    stages = [STAGE, STAGE | {"name": "arrive", "batch_size": 4}]
    study = StudyPart.model_validate(part().model_dump() | {"stages": stages})
    cases = manifest(60)
    _, (issue,) = examine_privacy(cases, {case.name: "train" for case in cases.cases}, study, None)
    assert "over 1 patient(s) expected a step is 2 a value" in issue.message


def test_the_center_of_another_stage_has_no_table() -> None:
    cases = Manifest("south", manifest(60).cases)
    assert examine_privacy(cases, {case.name: "train" for case in cases.cases}, part(), None)[0] is None


GRAM = Release("gram", "gaussian", 4.0, 1.0, 1, "earlier", "adapt", 1)


def test_with_a_home_what_was_spent_on_these_patients_is_taken_into_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One release on patient p3 and one on somebody else; of p3 a training left without a guarantee as well."""
    given: list[tuple[object, ...]] = []

    def costs(*found: object) -> tuple[object, ...]:
        given.append(found)
        return ()

    monkeypatch.setattr(viability, "noise_costs", costs)
    ledger, strict = PrivacyLedger(tmp_path / "trainer"), Promise(2.0, 1e-3)
    ledger.spend(GRAM, ["p3"], strict)
    ledger.spend(GRAM, ["somebody else"], strict)
    bare = release_without_guarantee("training", "open", "adapt", 1)
    ledger.record_bare([Bare(bare, "hash", frozenset({"p3"}))])
    table, _ = examined(60, home=tmp_path)
    assert table is not None
    assert table.before.startswith("1 private release(s) on these patients, and what was promised")
    assert "left without a guarantee, which no noise undoes: 1 training(s), since" in table.before
    (*_, bounds) = given[0]
    assert callable(bounds)
    assert [bound.promise.epsilon for bound in bounds(Promise(8.0, 1e-3))] == [8.0, 2.0]
    assert {bound.spent for bound in bounds(Promise(8.0, 1e-3))} == {(GRAM,)}


def test_a_home_without_a_ledger_has_spent_nothing_and_a_lost_one_is_an_error(tmp_path: Path) -> None:
    table, issues = examined(60, home=tmp_path)
    assert table is not None
    assert (table.before.endswith("nothing was spent on these patients before"), issues) == (True, [])
    PrivacyLedger(tmp_path).record(GRAM, ["p3"])
    for path in tmp_path.glob(f"{Path(LEDGER).stem}.*"):
        path.unlink()
    table, (issue,) = examined(60, home=tmp_path)
    assert (table, issue.code, issue.fatal) == (None, "privacy", True)
    assert "is gone" in issue.message
