"""The parts of a center's page, from the files of a home."""

import re
from html import unescape
from pathlib import Path

import pytest

from client.dashboard.page_content import PARTS, PageContent
from client.home.center_home import CenterHome, HomeError
from client.learning.cancellation import never_cancelled
from client.outgoing.outgoing_log import LOG
from client.scores.score_log import BENEFITS
from client.service.activity import Activity
from tests.support.dashboard_home import dashboard_home
from tests.support.joined_home import joined_home
from tests.support.outgoing_logs import SCORED, TRAIN, send

WORK = "trains, stage 'adapt', round 3"


@pytest.fixture
def home(tmp_path: Path) -> CenterHome:
    return dashboard_home(tmp_path / "home")


def text(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_every_part_says_what_the_home_holds(home: CenterHome) -> None:
    parts = PageContent(home).look()
    assert list(parts) == list(PARTS)
    assert "No trainer is heard" in text(parts["doing"])
    assert "+0.250 [+0.250, +0.250] better with federation" in text(parts["helped"])
    assert "not decided" in text(parts["helped"])
    assert "train 1 0 0" in text(parts["sent"])
    assert "Nothing computed from patients has left yet" in text(parts["privacy"])
    assert "p2 CT warning: PET is missing" in text(parts["cases"])


def test_a_home_in_which_nothing_happened_says_so(tmp_path: Path) -> None:
    home = dashboard_home(tmp_path / "home")
    for name in (LOG, "outgoing.head", BENEFITS, "manifest.json"):
        (home.trainer / name).unlink()
    parts = PageContent(home).look()
    assert "Nothing has left yet" in text(parts["sent"])
    assert "Not known" in text(parts["helped"])
    assert "No case was read yet" in text(parts["cases"])


def test_what_is_under_way_is_shown_and_what_left_is_read_again(home: CenterHome) -> None:
    content, activity = PageContent(home), Activity(home.trainer)
    before = content.look()
    with activity.beating():
        with activity.during(TRAIN, never_cancelled) as check:
            check()
            send(SCORED, home.trainer / LOG)
            during = content.look()
        after = content.look()
    assert f"{WORK} , for" in text(during["doing"])
    assert "evaluate 2 0 0" in text(during["sent"])
    assert "evaluate 1 0 0" in text(before["sent"])
    assert f"Waits for the coordinator. Last: {WORK} : done" in text(after["doing"])


def test_a_damaged_file_is_named_and_the_other_parts_stand(home: CenterHome) -> None:
    (home.trainer / BENEFITS).write_text("{")
    (home.trainer / LOG).write_text("no line\n" + (home.trainer / LOG).read_text())
    parts = PageContent(home).look()
    assert "benefits.json" in text(parts["helped"])
    assert "A log was changed" in text(parts["sent"])
    assert "p1" in parts["cases"]


def test_nobody_joined_with_a_home(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="join first"):
        PageContent(CenterHome(tmp_path))
    with pytest.raises(HomeError, match=r"center\.toml"):
        PageContent(joined_home(tmp_path / "without-settings"))
