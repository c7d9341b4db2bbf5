"""What stands in the parts of the page, and that a part that cannot be shown leaves the others as they are."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest

from protocol.messages.benefit import Benefit
from protocol.messages.scores import Comparison
from server.dashboard.page_content import PARTS, Around, PageContent, mark_commands
from server.dashboard.study_reader import StudyReader
from server.runs.state_files import WatchdogState, write_state
from server.study.checkpoint import Checkpoint, save
from server.study.directory import StudyDirectory
from server.study.history import GateRecord, History, RoundRecord, StageRow
from server.tls.authority import utc_now
from strategies.continual.gate import Verdict
from tests.support.coordinator_root import CENTERS, init_root, report
from tests.support.listed_link import ListedLink, NoLink
from tests.support.segmentation_scores import dice_score
from tests.support.shown_study import LinkInAFile, checkpoint, make_shown_study, tell, write_nodes
from tests.support.study_text import centers_text, stage_text

AROUND = Around("https://mlflow.example", "localhost:9443")


@pytest.fixture
def study(tmp_path: Path) -> StudyDirectory:
    return make_shown_study(tmp_path / "root")


class AwayLink(NoLink):
    """One that is away only once it is asked, as a client of the SuperLink finds."""

    def __enter__(self) -> Self:
        return self


def content_of(study: StudyDirectory, link: type[ListedLink] | None = None) -> PageContent:
    connect = link or (lambda: LinkInAFile(study))
    return PageContent(StudyReader(study), connect, AROUND, utc_now)


def test_a_study_that_goes_well_needs_nobody_and_shows_everything(study: StudyDirectory):
    parts = content_of(study).look()
    assert tuple(parts) == PARTS
    assert "Nobody has to do anything now" in parts["concerns"]
    assert "5 of 8 rounds completed" in parts["summary"]
    assert "asked to train, round 2 of 4, stage second, for" in parts["centers"]
    assert "2.0 MB" in parts["traffic"]
    assert "serves 2 of 3 centers better" in parts["gates"]
    assert "shared/0001" in parts["bank"]
    assert "moved far more than updates" in parts["updates"]
    assert parts["curves"].count("<figure") == 3
    assert not any("cannot be shown" in html for html in parts.values())
    assert not any(' style="' in html for html in parts.values())


def test_a_lost_center_is_named_with_its_remedy(study: StudyDirectory):
    content = content_of(study)
    content.look()
    write_nodes(study, {**dict.fromkeys(CENTERS, "online"), "center-b": "offline"})
    told = content.look()["concerns"]
    assert "center &#39;center-b&#39; was last seen at" in told
    assert "concilium-center join" in told


def test_a_silent_center_is_told_with_its_remedy_and_is_not_lost(study: StudyDirectory):
    write_nodes(study, {**dict.fromkeys(CENTERS, "online"), "center-b": "silent"})
    parts = content_of(study).look()
    assert "no word from a center</strong>: center &#39;center-b&#39; has not called since" in parts["concerns"]
    assert "that <code>concilium-center join</code> runs" in parts["concerns"]
    assert "a center is lost" not in parts["concerns"]
    assert "</span> silent</span> for" in parts["centers"]


def test_what_federation_brought_is_told_once_a_stage_was_scored(study: StudyDirectory):
    """This study does not ask; one that does has nothing to show before its first row."""
    assert "This study does not ask" in content_of(study).look()["benefits"]
    brought = Benefit("segmentation", "ct", "local-only", 7, Comparison(7, 0.06, 0.01))
    state = checkpoint()
    rows = (replace(state.history.rows[0], benefits={"center-a": (brought,)}),)
    save(study.checkpoint, replace(state, history=replace(state.history, rows=rows)))
    told = content_of(study).look()["benefits"]
    assert "+0.060" in told
    assert "✓ better with federation" in told


def test_parts_of_the_history_are_drawn_once_a_round(study: StudyDirectory):
    content = content_of(study)
    assert content.look()["curves"] is content.look()["curves"]


def test_with_the_superlink_away_the_rest_stands_and_its_absence_is_told(study: StudyDirectory):
    parts = content_of(study, AwayLink).look()
    assert "nothing answers" in parts["concerns"]
    assert "</span> unknown</span>" in parts["centers"]
    assert "<polyline" in parts["curves"]


def test_a_checkpoint_that_is_damaged_takes_its_own_parts_alone(study: StudyDirectory):
    study.checkpoint.write_bytes(b"torn")
    parts = content_of(study).look()
    assert "is damaged" in parts["curves"]
    assert "round 2 of 4" in parts["centers"]
    assert "shared/0001" in parts["bank"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_disk_that_fills_while_the_page_is_open_is_named_and_the_page_stands(small_disk: Path):
    """The watchdog, which would say so, cannot write its word; the page leaves nothing behind. Then there is room."""
    study = make_shown_study(small_disk / "root")
    content = content_of(study)
    before = content.look()
    write_state(study.watchdog, WatchdogState(alive_at=utc_now() - timedelta(seconds=20)))
    (small_disk / "other").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    assert shutil.disk_usage(small_disk).free == 0
    files = sorted(study.root.rglob("*"))
    full = content.look()
    assert "the coordinator&#39;s disk takes no file: the disk is full, 0 bytes of 4 MiB are free" in full["concerns"]
    assert "free some space there" in full["concerns"]
    unchanged = set(PARTS) - {"summary", "concerns", "centers"}
    assert {name: full[name] for name in unchanged} == {name: before[name] for name in unchanged}
    assert sorted(study.root.rglob("*")) == files
    (small_disk / "other").unlink()
    assert "takes no file" not in content.look()["concerns"]


def test_a_run_that_failed_is_told_once(study: StudyDirectory):
    report(study, "failed", run_id="1", code="quorum", reason="1 of 3 centers", server_round=5)
    alarm = "the study stopped after round 5 (quorum): 1 of 3 centers. It is tried again every 600 s"
    write_state(study.watchdog, WatchdogState(alive_at=utc_now(), alarms=(alarm,)))
    told = content_of(study).look()["concerns"]
    assert told.count("1 of 3 centers") == 1


def test_what_a_center_s_name_or_a_reason_says_is_text(study: StudyDirectory):
    tell(study)
    write_state(
        study.watchdog, WatchdogState(alive_at=utc_now(), alarms=("<script>alert(1)</script>; do <b>this</b>",))
    )
    told = content_of(study).look()["concerns"]
    assert "<script>" not in told
    assert "do &lt;b&gt;this&lt;/b&gt;" in told


def test_commands_in_a_sentence_are_marked_and_all_else_is_text():
    assert mark_commands("do `x <y>`, <now>") == "do <code>x &lt;y&gt;</code>, &lt;now&gt;"
    assert mark_commands("a lone ` tick") == "a lone  tick"


def test_before_the_launch_the_page_says_so(tmp_path: Path):
    parts = content_of(init_root(tmp_path / "root"), ListedLink).look()
    assert "not launched yet" in parts["summary"]
    assert "No round has been completed yet" in parts["curves"]
    assert "The bank holds no adapter yet" in parts["bank"]


def test_of_a_thousand_centers_the_page_stays_small(tmp_path: Path):
    """What changed goes to each browser: of the matrix, the alarms and the bytes the first, and how many more."""
    names = [f"center-{number:04d}" for number in range(1000)]
    directory = init_root(tmp_path / "root")
    directory.study_file.write_text(
        'name = "roots"\ntitle = "Many"\nformed_by = "nobody"\n\n[model]\nname = "pemma-unetr-tiny"\n'
        + centers_text(names)
        + stage_text("first", names, rounds=2)
    )
    rounds = tuple(RoundRecord("first", 1, name, loss=0.5, bytes_down=5, alarms=("unmoved",)) for name in names)
    verdict = Verdict(promoted=True, worst=None, mean=0.0, lower_bound=0.0, reason="none loses", unheard=tuple(names))
    row = StageRow("first", {name: {"ct": dice_score(3, 0.5, None)} for name in names})
    history = History(rounds=rounds, rows=(row,), gates=(GateRecord("first", verdict),))
    save(directory.checkpoint, Checkpoint(0, 1, "", {}, history=history))
    parts = content_of(directory, AwayLink).look()
    assert "950 more centers" in parts["matrix"]
    assert "800 more are in the report" in parts["updates"]
    assert "800 more centers are in the report" in parts["traffic"]
    assert "and 980 more" in parts["gates"]
    assert sum(len(html.encode()) for html in parts.values()) < 250_000
