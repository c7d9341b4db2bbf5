"""Who gets the pages by password, and how long a wrong one makes all wait."""

import warnings
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from reporting.serving.admission import COOKIE
from server.dashboard.login_session import LASTS_S, serve_by_login
from server.dashboard.password_file import read_password, write_password

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks for httpx2, which is not what we depend on
    from starlette.testclient import TestClient

PASSWORD = "a long password"
FORM = {"content-type": "application/x-www-form-urlencoded"}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


async def page(_request: Request) -> Response:
    return PlainTextResponse("the page")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def browser(tmp_path: Path, clock: Clock) -> TestClient:
    write_password(tmp_path / "login", PASSWORD)
    pages = serve_by_login(
        {"/": page, "/events": page}, read_password(tmp_path / "login"), "A study", ["c.example"], clock
    )
    return TestClient(pages, base_url="https://c.example:8443", follow_redirects=False)


def enter(browser: TestClient, password: str, **headers: str):
    return browser.post("/login", content=f"password={password.replace(' ', '+')}", headers={**FORM, **headers})


def test_nobody_gets_a_page_without_the_password(browser: TestClient):
    first = browser.get("/")
    assert (first.status_code, first.headers["location"]) == (303, "/login")
    assert browser.get("/events").status_code == 403
    assert browser.get("/login").text.count("<input") == 1


def test_the_password_opens_a_session_of_this_browser(browser: TestClient, clock: Clock):
    answer = enter(browser, PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert {"HttpOnly", "Secure", "SameSite=strict"} <= set(answer.headers["set-cookie"].split("; "))
    assert browser.get("/").text == "the page"
    clock.now += LASTS_S
    assert browser.get("/").status_code == 303


def test_another_cookie_opens_nothing(browser: TestClient):
    enter(browser, PASSWORD)
    browser.cookies.clear()
    assert browser.get("/events", headers={"cookie": f"{COOKIE}=x"}).status_code == 403


def test_each_wrong_password_makes_all_wait_longer(browser: TestClient, clock: Clock):
    """Two seconds after the first, four after the second; the right one does not get through meanwhile."""
    assert enter(browser, "wrong").status_code == 403
    assert enter(browser, PASSWORD).status_code == 429
    clock.now += 2
    assert enter(browser, "wrong").status_code == 403
    clock.now += 3
    assert enter(browser, PASSWORD).status_code == 429
    clock.now += 1
    assert enter(browser, PASSWORD).status_code == 303


def test_leaving_ends_the_session(browser: TestClient):
    enter(browser, PASSWORD)
    assert browser.post("/leave").headers["location"] == "/login"
    assert browser.get("/").status_code == 303


def test_a_form_of_another_site_is_refused(browser: TestClient):
    assert enter(browser, PASSWORD, **{"sec-fetch-site": "cross-site"}).status_code == 403


def test_a_body_that_is_no_password_is_refused(browser: TestClient):
    assert enter(browser, "x" * 5000).status_code == 413


def test_another_host_is_refused(browser: TestClient):
    assert browser.get("/login", headers={"host": "evil.example"}).status_code == 421
