"""When a study is launched, resumed and stopped, and when that is refused; the SuperLink is a list of runs here."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from protocol.errors import ConciliumError, LaunchError, StudyError
from server.centers.bundle import bundle_sha256
from server.centers.registry import read_registry, write_registry
from server.centers.study_plan import digest_of
from server.runs.launch import check_ready, is_complete, launch, stages_to_come, stop, wait_until_taken
from server.study.checkpoint import Checkpoint, save
from server.study.checksums import CHECKSUMS
from server.study.directory import StudyDirectory, replace_study
from server.study.file import Study, read_study
from server.study.lock import hold_study
from server.study.versions import keep_version
from server.tls.authority import open_authority, provide_server_certificate, utc_now
from tests.support.coordinator_root import CENTERS, enroll, init_root, report, want, wanted_of
from tests.support.listed_link import LinkWithStranger, ListedLink, NoLink, run
from tests.support.study_text import stage_text

SECOND_STAGE = stage_text("refine", CENTERS, local_steps=1)


def study_of(directory: StudyDirectory) -> Study:
    return read_study(directory.study_file)


def change_member(directory: StudyDirectory, center: str, **changes: object) -> None:
    """Change one entry of the registry."""
    registry = read_registry(directory.enrolment, "roots")
    write_registry(directory.enrolment, registry.having(center, registry.member(center).model_copy(update=changes)))


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return init_root(tmp_path / "root")


def test_study_with_all_centers_is_ready(directory: StudyDirectory) -> None:
    enroll(directory, CENTERS)
    ready = check_ready(directory, utc_now())
    assert (ready.stage.name, ready.enrolled, ready.missing) == ("adapt", CENTERS, ())


def test_center_that_is_missing_is_named_and_the_quorum_decides(directory: StudyDirectory) -> None:
    enroll(directory, CENTERS[:2])
    assert check_ready(directory, utc_now()).missing == ("center-c",)


def test_too_few_centers_are_refused_by_name(directory: StudyDirectory) -> None:
    enroll(directory, ["center-b"])
    with pytest.raises(LaunchError, match=r"needs 2 of its 3 centers, and 1 are enrolled; .* center-a, center-c"):
        check_ready(directory, utc_now())


def test_center_whose_membership_is_over_does_not_count(directory: StudyDirectory) -> None:
    enroll(directory, CENTERS, until=utc_now() - timedelta(seconds=1))
    with pytest.raises(LaunchError, match="0 are enrolled"):
        check_ready(directory, utc_now())


def test_complete_study_is_refused(directory: StudyDirectory) -> None:
    enroll(directory, CENTERS)
    directory.result.write_text(json.dumps({"status": "complete"}))
    with pytest.raises(LaunchError, match=r"is complete.*`concilium extend` adds centers and stages"):
        check_ready(directory, utc_now())


def test_unfinished_directory_is_refused(directory: StudyDirectory) -> None:
    (directory.root / "tensors.json").unlink()
    with pytest.raises(StudyError, match="not complete"):
        check_ready(directory, utc_now())


def test_expired_certificate_is_refused_with_its_renewal(directory: StudyDirectory) -> None:
    enroll(directory, CENTERS)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    authority = open_authority(directory.authority)
    files = {"key_file": directory.server_key, "certificate_file": directory.server_certificate}
    provide_server_certificate(authority, "localhost", **files, now=long_ago)
    with pytest.raises(LaunchError, match=r"expired on 2021-02-01.*concilium certificate"):
        check_ready(directory, utc_now())


def test_launch_says_what_is_wanted_from_now_on(directory: StudyDirectory) -> None:
    link = ListedLink()
    run_id = launch(directory, link, b"bundle", utc_now())
    wanted = wanted_of(directory)
    assert (wanted.wanted, wanted.run_id, wanted.starts) == ("running", run_id, 1)
    assert link.options == {"study-directory": str(directory.root.resolve())}


def test_second_run_of_a_study_is_refused(directory: StudyDirectory) -> None:
    with pytest.raises(LaunchError, match="run 1 of this study is running"):
        launch(directory, ListedLink(run("running")), b"bundle", utc_now())


@pytest.mark.parametrize(("stage_index", "stage"), [(0, "adapt"), (1, "refine"), (2, "refine")])
def test_resumed_study_goes_on_in_the_stage_of_its_checkpoint(
    directory: StudyDirectory, stage_index: int, stage: str
) -> None:
    directory.study_file.write_text(directory.study_file.read_text() + SECOND_STAGE)
    (directory.root / CHECKSUMS).unlink()
    enroll(directory, CENTERS)
    report(directory, "interrupted", stage="adapt", server_round=1)
    save(directory.checkpoint, Checkpoint(stage_index, 2, "", {}))
    assert check_ready(directory, utc_now()).stage.name == stage


def test_center_whose_key_is_spent_does_not_count(directory: StudyDirectory) -> None:
    enroll(directory, CENTERS)
    change_member(directory, "center-b", spent=True)
    assert check_ready(directory, utc_now()).missing == ("center-b",)


def test_center_that_agreed_to_other_settings_is_named(directory: StudyDirectory) -> None:
    enroll(directory, CENTERS)
    change_member(directory, "center-a", agreed_sha256=digest_of(study_of(directory), "center-a"))
    check_ready(directory, utc_now())
    change_member(directory, "center-c", agreed_sha256="0" * 64)
    with pytest.raises(LaunchError, match=r"asks of center-c is not what.*Restore study\.toml.*concilium revoke"):
        check_ready(directory, utc_now())


def test_center_that_agreed_to_another_bundle_is_named_unless_it_took_the_new_one(directory: StudyDirectory) -> None:
    enroll(directory, CENTERS)
    change_member(directory, "center-a", bundle_sha256=bundle_sha256())
    change_member(directory, "center-b", bundle_sha256="0" * 64)
    with pytest.raises(LaunchError, match=rf"not the one that center-b agreed.*--accepted-bundle {bundle_sha256()}"):
        check_ready(directory, utc_now(), "0" * 64)
    assert check_ready(directory, utc_now(), bundle_sha256()).missing == ()


def test_center_revoked_while_the_superlink_was_down_is_turned_away_before_a_run_starts(
    directory: StudyDirectory,
) -> None:
    enroll(directory, CENTERS)
    link = ListedLink()
    launch(directory, link, b"bundle", utc_now())
    link.listed = [run("finished:failed")]
    change_member(directory, "center-b", state="revoked")
    launch(directory, link, b"bundle", utc_now())
    assert sorted(node.name for node in link.nodes()) == ["center-a", "center-c"]
    assert link.listed[-1].active


def test_no_run_starts_while_a_revoked_center_cannot_be_turned_away(directory: StudyDirectory) -> None:
    class Stubborn(ListedLink):
        def unregister(self, node_id: str) -> None:
            raise LaunchError(f"node {node_id} stays")

    enroll(directory, CENTERS)
    link = Stubborn()
    launch(directory, link, b"bundle", utc_now())
    link.listed = []
    change_member(directory, "center-b", state="revoked")
    with pytest.raises(LaunchError, match="does not follow the registry for center-b"):
        launch(directory, link, b"bundle", utc_now())
    assert link.runs() == ()


def test_no_run_starts_while_a_key_is_registered_that_the_registry_never_had(directory: StudyDirectory) -> None:
    link = LinkWithStranger()
    with pytest.raises(LaunchError, match="does not follow the registry for center-z"):
        launch(directory, link, b"bundle", utc_now())
    assert link.runs() == ()


def test_run_that_nothing_takes_is_said_and_stays_queued(directory: StudyDirectory) -> None:
    link = ListedLink(run("pending"))
    with pytest.raises(LaunchError, match=r"run 1 is still pending after 0 s: no SuperExec takes it.*concilium serve"):
        wait_until_taken(link, "1", directory.root, patience_s=0)
    assert link.listed[0].active


def test_run_that_fails_at_once_is_said_with_flowers_reason(directory: StudyDirectory) -> None:
    with pytest.raises(LaunchError, match="has failed at once: no reason given"):
        wait_until_taken(ListedLink(run("finished:failed")), "1", directory.root)


def test_stopped_study_is_not_wanted_and_its_run_is_stopped(directory: StudyDirectory) -> None:
    link = ListedLink(run("running"))
    want(directory)
    assert stop(directory, link) == ("1",)
    assert (wanted_of(directory).wanted, link.listed[0].status) == ("stopped", "finished:stopped")


def test_stop_waits_for_the_process_that_holds_the_study(directory: StudyDirectory) -> None:
    want(directory)
    with hold_study(directory.lock), pytest.raises(LaunchError, match=r"a process still holds .*study\.lock"):
        stop(directory, ListedLink(run("running")), patience_s=0)


def test_stop_of_a_study_that_was_never_launched_is_refused(directory: StudyDirectory) -> None:
    with pytest.raises(LaunchError, match="never launched"):
        stop(directory, ListedLink())


def test_study_is_wanted_stopped_although_the_superlink_is_away(directory: StudyDirectory) -> None:
    want(directory)
    with pytest.raises(ConciliumError):
        stop(directory, NoLink())
    assert wanted_of(directory).wanted == "stopped"


def extended(directory: StudyDirectory, centers: Sequence[str]) -> None:
    """Everybody agreed, the study is done, then a stage of these centers was added."""
    enroll(directory, CENTERS)
    for center in CENTERS:
        change_member(directory, center, agreed_sha256=digest_of(study_of(directory), center))
    save(directory.checkpoint, Checkpoint(1, 2, "", {}))
    directory.result.write_text(json.dumps({"status": "complete"}))
    keep_version(directory)
    replace_study(directory.root, directory.study_file.read_text() + stage_text("again", centers))


def test_a_finished_study_goes_on_with_a_stage_that_was_added(directory: StudyDirectory) -> None:
    """Centers that have not agreed to it sit out and are named; here they are too few without them."""
    extended(directory, CENTERS)
    with pytest.raises(LaunchError, match=r"'again' needs 2 of its 3 .*enrolled before the stage was added: center-a"):
        check_ready(directory, utc_now())
    for center in CENTERS[1:]:
        change_member(directory, center, agreed_sha256=digest_of(study_of(directory), center))
    ready = check_ready(directory, utc_now())
    assert (ready.stage.name, ready.enrolled, ready.not_agreed) == ("again", CENTERS[1:], ("center-a",))
    assert [stage.name for stage in stages_to_come(directory)] == ["again"]


def test_a_study_is_complete_again_when_its_added_stages_are_behind(directory: StudyDirectory) -> None:
    extended(directory, CENTERS)
    assert not is_complete(directory)
    save(directory.checkpoint, Checkpoint(2, 3, "", {}))
    assert is_complete(directory)
