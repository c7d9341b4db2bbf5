"""Who gets what from the viewer: the browser with the session everything, everybody else a sentence."""

import gzip
import warnings
from pathlib import Path

import pytest

from client.data.manifest import Manifest
from client.viewing.view_pages import PARTS, STATIC, build_pages
from client.viewing.viewed_cases import view_cases
from reporting.serving.admission import COOKIE, Admission
from reporting.serving.guard import HEADERS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks for httpx2, which is not what we depend on
    from starlette.testclient import TestClient


@pytest.fixture
def admission() -> Admission:
    return Admission()


@pytest.fixture
def browser(looked_at: Manifest, admission: Admission) -> TestClient:
    pages = build_pages(view_cases(looked_at.cases, None), admission, "hgj")
    return TestClient(pages, base_url="http://127.0.0.1:8080", follow_redirects=False)


@pytest.fixture
def inside(browser: TestClient, admission: Admission) -> TestClient:
    """A browser that spent the token."""
    assert browser.get(f"/open?token={admission.token}").status_code == 200
    return browser


def test_the_token_opens_a_session_that_only_this_browser_has(browser: TestClient, admission: Admission):
    answer = browser.get(f"/open?token={admission.token}")
    cookie = answer.headers["set-cookie"]
    assert cookie == f"{COOKIE}={admission.cookie}; HttpOnly; Path=/{admission.path}/; SameSite=strict"
    assert f"url=/{admission.path}/" in answer.text
    assert browser.get(f"/{admission.path}/").status_code == 200


def test_a_token_used_again_is_refused_with_a_sentence(inside: TestClient, admission: Admission):
    answer = inside.get(f"/open?token={admission.token}")
    assert (answer.status_code, answer.text) == (
        403,
        "This address has been used: it opens one session in one browser. Start the viewer again for a new address.",
    )
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("query", ["", "?token=", "?token=x"])
def test_no_token_and_a_wrong_one_are_refused(browser: TestClient, admission: Admission, query: str):
    answer = browser.get(f"/open{query}")
    assert (answer.status_code, admission.spent) == (403, False)
    assert answer.text.startswith("This address does not open the viewer.")


def test_asking_for_the_head_alone_does_not_spend_the_token(browser: TestClient, admission: Admission):
    assert browser.head(f"/open?token={admission.token}").status_code == 405
    assert not admission.spent


@pytest.mark.parametrize("path", ["", "cases.json", "static/view.js", "cases/0/ct.nii.gz"])
def test_nothing_is_shown_without_the_session(inside: TestClient, admission: Admission, path: str):
    """Even who knows the secret path needs the cookie, also a wrong one does not do."""
    inside.cookies.clear()
    answer = inside.get(f"/{admission.path}/{path}")
    assert answer.status_code == 403
    assert answer.text.startswith("No session in this browser.")
    assert inside.get(f"/{admission.path}/{path}", headers={"cookie": f"{COOKIE}=x"}).status_code == 403


def test_the_images_of_a_case_come_as_they_are(inside: TestClient, admission: Admission, looked_at: Manifest):
    """No content encoding: the page itself unpacks them."""
    answer = inside.get(f"/{admission.path}/cases/0/ct.nii.gz")
    assert answer.content == looked_at.cases[0].paths["ct"].read_bytes()
    assert "content-encoding" not in answer.headers
    assert len(gzip.decompress(answer.content)) > 10 * 30 * 40


@pytest.mark.parametrize(
    "path",
    [
        "cases/3/ct.nii.gz",
        "cases/1/gtv.nii.gz",
        "cases/0/conversion.nii.gz",
        "cases/0/..%2f..%2fboth%2fct.nii.gz",
        "cases/-1/ct.nii.gz",
        "static/",
        "static/niivue.LICENSE.txt",
        "static/..%2fview_pages.py",
        "cases/",
    ],
)
def test_only_files_of_the_cases_and_parts_of_the_page_are_there(inside: TestClient, admission: Admission, path: str):
    answer = inside.get(f"/{admission.path}/{path}")
    assert answer.status_code == 404
    assert answer.text in {"No such image among the cases.", "No such part of the page.", "Nothing here."}


def test_an_image_that_is_gone_is_told(inside: TestClient, admission: Admission, looked_at: Manifest):
    path = looked_at.cases[2].paths["ct"]
    kept = path.read_bytes()
    path.unlink()
    try:
        assert "gone now" in inside.get(f"/{admission.path}/cases/2/ct.nii.gz").text
    finally:
        path.write_bytes(kept)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.1.2:8080", ""])
def test_another_host_is_refused_before_anything_else(browser: TestClient, admission: Admission, host: str):
    """A name of the outside that was pointed to this machine: the browser would take it for its own origin."""
    answer = browser.get(f"/open?token={admission.token}", headers={"host": host})
    assert (answer.status_code, answer.text, admission.spent) == (421, "This viewer answers on 127.0.0.1 only.", False)


def test_a_request_that_names_two_hosts_is_refused(inside: TestClient, admission: Admission):
    named = [("host", "127.0.0.1"), ("host", "evil.example")]
    assert inside.get(f"/{admission.path}/", headers=named).status_code == 421
    named = [("host", "evil.example"), ("host", "127.0.0.1")]
    assert inside.get(f"/{admission.path}/", headers=named).status_code == 421


@pytest.mark.parametrize("path", ["", "cases.json", "static/view.js", "cases/0/ct.nii.gz", "nothing"])
def test_every_answer_forbids_to_be_kept_and_to_load_from_elsewhere(
    inside: TestClient, admission: Admission, path: str
):
    headers = inside.get(f"/{admission.path}/{path}").headers
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert not {"etag", "last-modified"} & set(headers)


def test_every_part_of_the_page_is_there(inside: TestClient, admission: Admission):
    page = inside.get(f"/{admission.path}/").text
    for name, kind in PARTS.items():
        answer = inside.get(f"/{admission.path}/static/{name}")
        assert answer.headers["content-type"].startswith(kind)
        assert f'"static/{name}"' in page


def test_the_library_is_the_one_that_is_recorded():
    """Name, version, licence and SHA-256 stand beside it."""
    import hashlib

    note = (STATIC / "niivue.LICENSE.txt").read_text()
    assert "@niivue/niivue 0.69.0" in note
    assert "BSD 2-Clause License" in note
    assert hashlib.sha256((STATIC / "niivue.umd.js").read_bytes()).hexdigest() in note
    assert Path(STATIC / "niivue.umd.js").stat().st_size == 2_284_381
