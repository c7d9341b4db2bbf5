"""The center's page in a real browser beside a trainer that trains: live, for one browser, with nothing from afar."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from client.home.center_home import CenterHome
from client.service.activity import ACTIVITY
from client.service.trainer import Trainer
from tests.support.chromium import keep, watched_page
from tests.support.page_rules import broken_rules
from tests.support.training_center import Network, TrainingCenter, make_training_center, network

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.network]

WITHIN_MS = 10_000
LOADED_MS = 240_000
"""The first look at a ledger that has entries loads the accountant, and that at scores draws pictures."""
COMMAND = (sys.executable, "-c", "from client.cli.app import app; app()", "dashboard", "--home")


@pytest.fixture
def sockets() -> Iterator[Network]:
    with network() as found:
        yield found


@pytest.fixture
def center(tmp_path: Path, sockets: Network) -> TrainingCenter:
    return make_training_center(tmp_path, sockets.port, sockets.health_port)


@contextmanager
def dashboard(home: CenterHome) -> Iterator[str]:
    """The address of the page for the length of a block; it ends well by SIGTERM."""
    with subprocess.Popen([*COMMAND, str(home.root)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("center center-a: open this address once")
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            assert process.wait(20) == 0


def wait_for(page: "Page", part: str, text: str, within_ms: float = WITHIN_MS) -> None:
    page.locator(f"#{part}").get_by_text(re.compile(text)).first.wait_for(timeout=within_ms)


def fits_a_phone(page: "Page") -> bool:
    page.set_viewport_size({"width": 390, "height": 844})
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width <= 390


@contextmanager
def heard(trainer: Trainer) -> Iterator[None]:
    """A trainer that is there for the length of a block, and then was killed: its file lies there as it was."""
    with trainer.activity.beating():
        yield
        left = (trainer.home / ACTIVITY).read_bytes()
    (trainer.home / ACTIVITY).write_bytes(left)


def look_while_it_trains(page: "Page", center: TrainingCenter) -> None:
    """Within a round, and after the study."""
    with center.training():
        wait_for(page, "doing", "trains, stage 'adapt', round 2, 10 steps", LOADED_MS)
        wait_for(page, "doing", "3 steps and cases done")
        wait_for(page, "sent", "pretrain")
        assert "✗" not in page.locator("#connection").inner_text()
    wait_for(page, "helped", "with federation|not decided", LOADED_MS)
    wait_for(page, "doing", "Waits for the coordinator. Last: scores test cases, stage 'adapt'")
    assert "no guarantee" in page.locator("#privacy").inner_text()
    keep(page, "center-dashboard")
    assert broken_rules(page) == []
    assert fits_a_phone(page)
    keep(page, "center-dashboard-phone")
    assert broken_rules(page) == []


def look_at_pictures(page: "Page") -> None:
    page.set_viewport_size({"width": 1280, "height": 900})
    page.get_by_role("link", name="Scores and pictures of each case").click(timeout=LOADED_MS)
    page.locator(".case h3").first.scroll_into_view_if_needed(timeout=LOADED_MS)
    page.locator(".case img").first.wait_for()
    assert broken_rules(page) == []
    assert fits_a_phone(page)


def test_the_page_follows_a_center_that_trains(center: TrainingCenter, sockets: Network) -> None:
    """Before its first round, within one, after the study, without a coordinator, and when its trainer is gone."""
    with watched_page(1280, 900) as (page, watched), dashboard(center.home) as address:
        page.goto(address)
        wait_for(page, "sent", "Nothing has left yet", LOADED_MS)
        wait_for(page, "doing", "No trainer is heard")
        assert "not accepted yet" in page.locator("#connection").inner_text()
        assert broken_rules(page) == []
        center.home.node_id.write_text("7")
        with heard(center.trainer):
            with sockets.connected():
                look_while_it_trains(page, center)
            wait_for(page, "connection", "no connection to localhost")
            wait_for(page, "connection", "ask the coordinator whether its server runs")
        wait_for(page, "doing", "No trainer is heard; the last that it told")
        wait_for(page, "connection", "start it: concilium-center join")
        look_at_pictures(page)
        assert watched.outside == []
        assert [told for told in watched.problems if "/events" not in told] == [], "a stream ends with its page"
        replayed = httpx.get(address)
        assert (replayed.status_code, "has been used" in replayed.text) == (403, True)
