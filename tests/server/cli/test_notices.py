"""`concilium notices`: what it shows, and the trial."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from server.cli.app import app
from server.notices.events import notice
from server.notices.sent_file import Sent, write_sent
from server.study.directory import StudyDirectory
from tests.support.coordinator_root import init_root
from tests.support.listed_link import NOW
from tests.support.receivers import webhook


@pytest.fixture
def directory(tmp_path: Path) -> StudyDirectory:
    return init_root(tmp_path / "root")


def test_it_says_where_to_name_a_channel(directory: StudyDirectory):
    ran = CliRunner().invoke(app, ["notices", str(directory.root)])
    assert ran.stdout == f"channels: none; name them in {directory.notice_settings}\n"


@pytest.mark.network
def test_a_trial_notice_is_sent_and_what_was_sent_is_shown(directory: StudyDirectory):
    write_sent(directory.notices, Sent().having(notice("study-done", "roots", "done", root="x"), "webhook", NOW))
    with webhook() as (url, posted):
        directory.notice_settings.write_text(f'webhook = "{url}"')
        ran = CliRunner().invoke(app, ["notices", str(directory.root), "--test"])
    assert ran.stdout.splitlines() == [
        "channels: webhook",
        "sent: study-done/roots: webhook 2026-05-01 12:00 UTC",
        "webhook: a trial notice was taken",
    ]
    assert posted[0]["event"] == "trial"


@pytest.mark.network
def test_a_trial_that_fails_ends_with_1_and_says_why(directory: StudyDirectory):
    with webhook(status=500) as (url, _):
        directory.notice_settings.write_text(f'webhook = "{url}"')
        ran = CliRunner().invoke(app, ["notices", str(directory.root), "--test"])
    assert (ran.exit_code, "webhook: the webhook answered 500" in ran.output) == (1, True)
