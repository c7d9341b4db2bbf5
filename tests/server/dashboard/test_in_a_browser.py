"""The page in a real browser by its token: it names a center that Flower calls lost, and says when its server is gone.

What the page of a running federation shows, at every width and to everybody, is in tests/end_to_end/test_live_page.py.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from server.study.directory import StudyDirectory
from tests.support import shown_study
from tests.support.chromium import watched_page
from tests.support.coordinator_root import CENTERS
from tests.support.page_rules import broken_rules
from tests.support.shown_study import make_shown_study, tell, write_nodes

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.slow, pytest.mark.network]

WITHIN_MS = 10_000


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyDirectory:
    return make_shown_study(tmp_path_factory.mktemp("shown") / "root")


@contextmanager
def dashboard(study: StudyDirectory) -> Iterator[str]:
    """The address of the page for the length of a block; it ends well by SIGTERM, open streams or not."""
    command = [sys.executable, str(Path(shown_study.__file__)), str(study.root)]
    environment = {**os.environ, "PYTHONPATH": str(Path(shown_study.__file__).parents[2])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Three centers, one model: open this address once")
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()
            assert process.wait(20) == 0


def row_of(page: "Page", center: str) -> str:
    return page.locator(f'#centers tr:has(th:text-is("{center}"))').inner_text()


def test_the_page_follows_the_study(study: StudyDirectory) -> None:
    """Opened with its token; a center is lost; the run says more; a second browser gets nothing; the server ends."""
    with watched_page(1280, 900) as (page, watched):
        with dashboard(study) as address:
            page.goto(address)
            page.locator("#centers table").wait_for()
            assert "online" in row_of(page, "center-c")
            assert "round 2 of 4, stage second" in row_of(page, "center-c")
            assert page.locator("#concerns").inner_text().endswith("Nobody has to do anything now.")
            assert page.locator("#matrix .heat").count() == 3
            write_nodes(study, {**dict.fromkeys(CENTERS, "online"), "center-c": "offline"})
            lost = page.locator("#concerns li.urgent")
            lost.wait_for(timeout=WITHIN_MS)
            assert "a center is lost: center 'center-c' was last seen at" in lost.inner_text()
            assert "the machine reaches localhost:9443" in lost.inner_text()
            page.locator("#centers tr.offline").wait_for(timeout=WITHIN_MS)
            assert "✖ offline for" in row_of(page, "center-c")
            assert broken_rules(page) == []

            write_nodes(study, dict.fromkeys(CENTERS, "online"))
            tell(study)
            page.locator("#concerns .badge.best").wait_for(timeout=WITHIN_MS)
            assert page.context.browser is not None
            other = page.context.browser.new_page()
            other.goto(address)
            assert other.locator("body").inner_text().startswith("This address has been used")
        assert (watched.problems, watched.outside) == ([], [])
        page.locator("#lost").wait_for(timeout=WITHIN_MS)
        assert "The server does not answer" in page.locator("#lost").inner_text()
