"""The coordinator's page of a real federation, over TLS with its login, in a real browser: a center dies, and it shows.

One server and three centers on loopback, every program real but the trainers, which learn nothing.
"""

import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.chromium import SCREENSHOTS, keep, watched_page
from tests.support.coordinator_root import CENTERS
from tests.support.live_federation import PASSWORD, PATIENCE_S, LiveFederation
from tests.support.page_rules import broken_rules

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.network]

WITHIN_MS = 10_000
LOST = "center-b"


@pytest.fixture
def federation() -> Iterator[LiveFederation]:
    """All three centers work in a round; sockets want a short path. Pictures are worth a stage before."""
    with tempfile.TemporaryDirectory(prefix="live-") as folder:
        found = LiveFederation(Path(folder), first_rounds=2 if os.environ.get(SCREENSHOTS) else 0)
        try:
            found.start()
            yield found
        finally:
            found.stop()


def row_of(page: "Page", center: str) -> str:
    return page.locator(f'#centers tr:has(th:text-is("{center}"))').inner_text()


def open_with_login(page: "Page", address: str) -> None:
    """A browser without a session is led to the form, and a wrong password opens nothing."""
    page.goto(address)
    assert page.url == f"{address}login"
    assert broken_rules(page) == []
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.locator("#centers table").wait_for()


def refuse_without_login(address: str, authority: Path) -> None:
    """The page shows the consortium's own certificate, and nothing of the study to who has no session."""
    trust = ssl.create_default_context(cafile=authority)
    with httpx.Client(verify=trust, base_url=address) as browser:
        for path in ("events", "report", "static/live.js"):
            assert browser.get(path).status_code == 403
        assert browser.get("/").headers["location"] == "/login"
        stale = {"cookie": "concilium-session=anything"}
        assert browser.get("events", headers=stale).status_code == 403


def test_a_killed_center_is_named_within_ten_seconds_with_what_to_do(federation: LiveFederation) -> None:
    address, directory = f"https://127.0.0.1:{federation.page_port}/", federation.directory
    refuse_without_login(address, directory.authority_certificate)
    with watched_page(1280, 900, certificate=directory.server_certificate) as (page, watched):
        open_with_login(page, address)
        page.wait_for_function(
            "document.querySelectorAll('#centers tr.online').length === 3", timeout=PATIENCE_S * 1000
        )
        for center in CENTERS:
            assert "asked to train, round 1 of 4, stage second" in row_of(page, center)
        assert "Nobody has to do anything now." in page.locator("#concerns").inner_text()
        assert "better with federation" in page.locator("#benefits").inner_text()
        keep(page, "dashboard")
        assert broken_rules(page) == []

        federation.kill(LOST)
        page.locator("#centers tr.silent").wait_for(timeout=WITHIN_MS)
        assert "▲ silent for" in row_of(page, LOST)
        said = page.locator("#concerns li.urgent").inner_text()
        assert f"center '{LOST}' has not called since" in said
        assert "see at the center that the machine runs and reaches the coordinator" in said
        assert page.locator("#centers tr.online").count() == 2
        keep(page, "dashboard-center-lost")
        assert broken_rules(page) == []

        page.set_viewport_size({"width": 390, "height": 844})
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        keep(page, "dashboard-phone")
        assert broken_rules(page) == []
        assert (watched.problems, watched.outside) == ([], [])
