"""What stands before every page."""

import warnings

import pytest
from starlette.responses import PlainTextResponse

from reporting.serving.guard import HEADERS, POLICY, POLICY_WITH_FORMS, Guard

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it asks for httpx2, which is not what we depend on
    from starlette.testclient import TestClient


def client(guard: Guard, host: str) -> TestClient:
    return TestClient(guard, base_url=f"http://{host}")


def test_every_answer_has_the_headers_and_none_to_keep_it_by():
    page = PlainTextResponse("here", headers={"etag": "x"})
    headers = client(Guard(page, "dashboard"), "127.0.0.1:80").get("/").headers
    assert {name: headers[name] for name in HEADERS} == HEADERS
    assert "etag" not in headers


@pytest.mark.parametrize(("host", "status"), [("127.0.0.1:8", 200), ("localhost", 200), ("evil.example", 421)])
def test_a_host_that_is_not_served_is_refused(host: str, status: int):
    answer = client(Guard(PlainTextResponse("here"), "dashboard"), host).get("/")
    assert answer.status_code == status
    assert answer.text == ("here" if status == 200 else "This dashboard answers on 127.0.0.1 only.")


def test_a_guard_may_serve_a_name_of_its_own():
    guard = Guard(PlainTextResponse("here"), "dashboard", hosts=["federation.example"])
    assert client(guard, "federation.example:8443").get("/").text == "here"
    assert client(guard, "127.0.0.1").get("/").status_code == 421


def test_forms_are_sent_nowhere_unless_the_policy_says_so():
    assert "form-action 'none'" in POLICY
    assert POLICY_WITH_FORMS.replace("form-action 'self'", "form-action 'none'") == POLICY
    headers = client(Guard(PlainTextResponse("x"), "page", policy=POLICY_WITH_FORMS), "localhost").get("/").headers
    assert headers["content-security-policy"] == POLICY_WITH_FORMS
