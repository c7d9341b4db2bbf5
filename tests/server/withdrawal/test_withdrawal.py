"""A center withdraws: exact where it never was, trained again where it was, and certified."""

import shutil
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from protocol.errors import BankError, WithdrawalError
from server.audit.authority_copy import kept_heads, sign_with_authority
from server.audit.signed_head import head_of_event
from server.audit.verification import verify
from server.centers.federation_init import init_federation
from server.results.result import read_result
from server.study.checkpoint import load
from server.tracking.replay import replay as track
from server.withdrawal import withdrawal
from server.withdrawal.certificate import PRIVATE_REPLAY
from server.withdrawal.withdrawal import withdraw
from strategies.bank.bank import AdapterBank
from strategies.bank.told import digest
from tests.support.enrolled_study import COORDINATOR
from tests.support.light_study import Light
from tests.support.withdrawn_study import NEVER_THERE, copied, going_on, leave, light_late_comer, no_link, ran

REMOVED = ["c/0001", "shared/0002", "shared/0003"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Light:
    return light_late_comer(tmp_path_factory.mktemp("late"))


@pytest.fixture(scope="module")
def never(tmp_path_factory: pytest.TempPathFactory) -> Light:
    return ran(tmp_path_factory.mktemp("never"), NEVER_THERE)


def test_what_is_in_use_is_what_the_center_never_entered_bit_for_bit(
    finished: Light, never: Light, tmp_path: Path
) -> None:
    study = copied(finished, tmp_path)
    told = leave(study, "c")
    bank = AdapterBank(study.directory.bank)
    assert (told.first_stage, told.rounds, told.in_use) == ("stage-2", (3, 4), "shared/0001")
    assert bank.head("shared").sha256 == told.in_use_sha256 == never.hashes["shared/0001"]
    assert [version.reference for version in told.removed] == REMOVED
    assert [version.reference for version in told.influenced] == ["a/0002", "a/0003", "b/0002", "b/0003"]
    for name, version in (("c", 1), ("shared", 2)):
        with pytest.raises(BankError, match=r"center 'c', .* withdrew"):
            bank.tensors(bank.entry(name, version))


def test_the_replay_is_the_study_that_never_had_the_center_bit_for_bit(
    finished: Light, never: Light, tmp_path: Path
) -> None:
    """Its first stage was not trained again, the later ones were, by centers that know nothing of the first time."""
    study = copied(finished, tmp_path)
    replay = going_on(tmp_path / "replay", Path(leave(study, "c").replay))
    replay.run()
    assert replay.hashes == never.hashes
    trained = {found.server_round for found in replay.centers["a"].performed if found.kind == "train"}
    assert trained == {3, 4, 5, 6}
    assert verify(replay.directory).findings == ()


def test_of_a_center_of_the_first_stage_everything_is_trained_again(finished: Light, tmp_path: Path) -> None:
    """Two of its centers are left; no shared version is without the one that went."""
    study = copied(finished, tmp_path)
    told = leave(study, "b")
    assert (told.first_stage, told.in_use, told.replayed_stages) == ("stage-1", "", ("stage-1", "stage-2", "stage-3"))
    replay = going_on(tmp_path / "replay", Path(told.replay))
    replay.run()
    assert sorted(replay.centers) == ["a", "c"]
    assert replay.state.server_round == 6


def test_the_log_the_result_and_the_next_start_tell_of_it(finished: Light, tmp_path: Path) -> None:
    study = copied(finished, tmp_path)
    told = leave(study, "c")
    found = verify(study.directory)
    assert found.findings == ()
    assert [event.event for event in found.events[-2:]] == ["result", "withdrawn"]
    assert (read_result(study.directory.result) or {})["withdrawn"] == [
        {"center": "c", "first_stage": "stage-2", "in_use": "shared/0001", "replay": told.replay}
    ]
    with pytest.raises(WithdrawalError, match="goes on without it in"):
        study.run()
    with pytest.raises(WithdrawalError, match="has withdrawn already"):
        leave(study, "c")


def test_of_a_second_center_what_is_left_goes_too_and_the_study_goes_on_where_it_does(
    finished: Light, tmp_path: Path
) -> None:
    """The checkpoint does not know its rounds any more; the audit log does."""
    study = copied(finished, tmp_path)
    first, second = leave(study, "c"), leave(study, "a")
    assert (second.first_stage, second.rounds, second.in_use) == ("stage-1", (1, 2, 3, 4, 5, 6), "")
    assert {"a/0001", "a/0002", "a/0003", "shared/0001"} <= {version.reference for version in second.removed}
    assert (second.replay, first.replay in second.replay_reason) == ("", True)
    assert verify(study.directory).findings == ()


def test_what_a_replay_costs_those_who_stay_is_said_where_patients_were_promised_something(
    finished: Light, tmp_path: Path
) -> None:
    study, file = copied(finished, tmp_path), "checksums.json"
    (study.root / file).unlink()
    with study.directory.study_file.open("a") as text:
        text.write("\n[privacy]\nepsilon = 3.0\ndelta = 1e-3\nclip_norm = 1.0\n")
    told = leave(study, "c")
    assert (told.replay != "", told.replay_reason, told.not_promised[-1]) == (True, PRIVATE_REPLAY, PRIVATE_REPLAY)
    assert "privacy-spent" in (study.directory.withdrawals / "c.html").read_text()
    assert not any("[privacy]" in text for text in leave(copied(finished, tmp_path / "open"), "c").not_promised)


def test_after_a_center_of_the_first_stage_one_that_came_later_can_go_too(finished: Light, tmp_path: Path) -> None:
    """What went with the first center is nothing to go back to."""
    study = copied(finished, tmp_path)
    leave(study, "a")
    told = leave(study, "c")
    assert (told.first_stage, told.in_use, [version.reference for version in told.removed]) == (
        "stage-2",
        "",
        ["c/0001"],
    )
    assert [version.reference for version in told.influenced] == ["b/0002", "b/0003"]
    assert verify(study.directory).findings == ()


@pytest.mark.parametrize(
    "step",
    [
        "remove_versions",
        "remove_backbones",
        "_replay",
        "take_state_back",
        "mark_own_store",
        "with_withdrawals",
        "write_certificate",
    ],
)
def test_broken_off_before_any_step_it_can_be_given_again(
    step: str, finished: Light, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate says then what it would have said."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    study = copied(finished, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(withdrawal, step, die)
        with pytest.raises(KeyboardInterrupt):
            leave(study, "c")
    assert {finding.weight for finding in verify(study.directory).findings} <= {"unfinished"}
    told = leave(study, "c")
    assert ([version.reference for version in told.removed], told.rounds) == (REMOVED, (3, 4))
    assert verify(study.directory).findings == ()


def test_a_certificate_that_was_changed_or_lost_is_found(finished: Light, tmp_path: Path) -> None:
    study = copied(finished, tmp_path)
    leave(study, "c")
    path = study.directory.withdrawals / "c.json"
    path.write_bytes(path.read_bytes().replace(b'"stage-2"', b'"stage-3"'))
    assert [finding.what for finding in verify(study.directory).findings] == [str(path)]
    path.unlink()
    assert [finding.weight for finding in verify(study.directory).findings] == ["unfinished"]
    assert leave(study, "c").center == "c"
    assert verify(study.directory).findings == ()


def test_a_center_that_nobody_knows_and_a_study_that_did_not_begin_are_refused(finished: Light, tmp_path: Path) -> None:
    study = copied(finished, tmp_path)
    with pytest.raises(WithdrawalError, match="has no center 'z'"):
        leave(study, "z")
    study.directory.checkpoint.unlink()
    with pytest.raises(WithdrawalError, match="has not begun"):
        withdraw(study.directory, "c", connect=no_link)
    shutil.rmtree(study.root)


def test_the_copy_beside_the_authoritys_key_is_the_head_that_the_withdrawal_signed(
    finished: Light, tmp_path: Path
) -> None:
    study = copied(finished, tmp_path)
    authority = str(tmp_path / "authority")
    init_federation(study.directory, COORDINATOR.model_copy(update={"authority": authority}))
    before, _ = sign_with_authority(study.directory)
    leave(study, "c")
    found = verify(study.directory)
    (copy,), last = kept_heads(study.directory, ()), found.events[-1]
    assert (last.event, head_of_event(last.facts)) == ("signed", copy)
    assert copy.lines > before.lines
    assert found.findings == ()


def test_what_mlflow_has_of_the_center_is_marked_with_the_certificate_that_names_it(
    finished: Light, tmp_path: Path
) -> None:
    study = copied(finished, tmp_path)
    assert "has no MLflow store" in leave(copied(finished, tmp_path / "apart"), "c").tracking
    track(study.root, None)
    told = leave(study, "c")
    assert told.marked == (
        *("run center/c", "run shared", "run study", "version 1 of light.c (c/0001)"),
        *("version 2 of light.shared (shared/0002)", "version 3 of light.shared (shared/0003)"),
    )
    state = load(study.directory.checkpoint)
    assert state is not None
    certificate = study.directory.withdrawals / "c.json"
    assert "version 2 of light.shared" in certificate.with_suffix(".html").read_text()
    client = MlflowClient(f"sqlite:///{study.root / 'mlflow.db'}")
    marks = {"withdrawn/c": told.issued_at, "withdrawn_certificate/c": digest(certificate.read_bytes())}
    assert marks.items() <= client.get_run(state.tracking["center/c"]).data.tags.items()
    assert marks.items() <= client.get_model_version("light.shared", "3").tags.items()
    assert str(client.get_model_version_by_alias("light.shared", "champion").version) == "1"
