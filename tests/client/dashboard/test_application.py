"""The center's page as a browser gets it: one session by one token, every part, and the report with its pictures."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from client.dashboard.application import make_dashboard
from client.dashboard.page_content import PARTS, PageContent
from client.home.center_home import CenterHome
from reporting.serving.admission import Admission
from reporting.serving.live_page import REPORT_POLICY
from reporting.serving.token_session import serve_by_token
from tests.support.dashboard_home import dashboard_home

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks for httpx2, which is not what we depend on
    from starlette.testclient import TestClient


@pytest.fixture
def admission() -> Admission:
    return Admission()


@pytest.fixture
def home(tmp_path: Path) -> CenterHome:
    return dashboard_home(tmp_path / "home")


@pytest.fixture
def browser(home: CenterHome, admission: Admission) -> TestClient:
    answers = make_dashboard(home, PageContent(home)).answers
    found = TestClient(serve_by_token(answers, admission, "dashboard"), base_url="http://127.0.0.1:8080")
    assert found.get(f"/open?token={admission.token}").status_code == 200
    return found


def test_the_page_has_every_part_and_says_that_it_stays(browser: TestClient, admission: Admission) -> None:
    page = browser.get(f"/{admission.path}/").text
    assert all(f'<section class="card" id="{part}"' in page for part in PARTS)
    assert "Stays at this center" in page
    assert "better with federation" in page
    assert "://" not in page, "nothing is loaded from elsewhere"


def test_scores_and_pictures_are_a_page_of_their_own(
    browser: TestClient, home: CenterHome, admission: Admission
) -> None:
    found = browser.get(f"/{admission.path}/report")
    assert (found.status_code, found.headers["content-security-policy"]) == (200, REPORT_POLICY)
    assert 'src="data:image/png;base64' in found.text
    (home.trainer / "manifest.json").unlink()
    assert browser.get(f"/{admission.path}/report").status_code == 404


def test_another_browser_sees_nothing(browser: TestClient, admission: Admission) -> None:
    other = TestClient(browser.app, base_url="http://127.0.0.1:8080")
    assert other.get(f"/{admission.path}/").status_code == 403
    assert other.get(f"/open?token={admission.token}").status_code == 403, "a replayed token"
    assert TestClient(browser.app, base_url="http://center.example").get("/open").status_code == 421


def test_a_page_that_nothing_was_computed_for_starts_without_torch() -> None:
    code = "import sys, client.dashboard.application; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
