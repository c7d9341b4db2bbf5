"""Why a SuperLink does not do what it was asked, and what to do then."""

import httpx
import pytest

from server.superlink.control_causes import explain_refusal, explain_unreachable

ADDRESS = "127.0.0.1:8443"


@pytest.mark.parametrize(
    ("error", "cause", "remedy"),
    [
        (httpx.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]"), "does not come from this consortium", "--renew"),
        (httpx.ReadTimeout("slow"), "does not answer in time", "superlink.log"),
        (httpx.RemoteProtocolError("odd"), "no SuperLink with TLS", "which program listens"),
        (httpx.ConnectError("[SSL] wrong version number"), "no SuperLink with TLS", "which program listens"),
        (httpx.ConnectError("refused"), "nothing answers (refused)", "start it with `concilium serve ROOT`"),
    ],
)
def test_a_call_that_reached_nobody_says_why(error: httpx.TransportError, cause: str, remedy: str) -> None:
    text = explain_unreachable(ADDRESS, "for its runs", error)
    assert text.startswith(f"cannot ask the SuperLink at {ADDRESS} for its runs: ")
    assert cause in text
    assert remedy in text


def test_an_answer_that_is_not_flowers_names_the_proxy() -> None:
    text = explain_refusal(ADDRESS, "for its runs", httpx.Response(403), None)
    assert text.startswith(f"{ADDRESS} was asked for its runs and answered HTTP 403")
    assert "at its control door" in text
