"""The server itself: loopback alone, a port that is taken, a clean end, a browser that is opened in private."""

import os
import signal
import socket
import threading
import urllib.request
import webbrowser
from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse

from protocol.errors import PortError
from reporting.serving.server import bind, opened_browser, serve


def test_it_listens_on_loopback_alone():
    with bind(0) as bound:
        host, port = bound.getsockname()
        assert (host, port > 0) == ("127.0.0.1", True)


def test_a_taken_port_is_told_with_what_to_do():
    with bind(0) as first:
        port = first.getsockname()[1]
        with pytest.raises(PortError, match=f"port {port} of this machine cannot be had: Address already in use; name"):
            bind(port)


@pytest.mark.network
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_until_a_signal_ends_it_and_gives_the_port_back(number: signal.Signals):
    """The signal comes once the first answer is there."""
    bound, answers = bind(0), []
    host, port = bound.getsockname()
    ended: list[bool] = []

    def ask() -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://{host}:{port}/", timeout=20) as answer:
            answers.append((answer.read(), "server" in answer.headers))
        os.kill(os.getpid(), number)

    before = signal.getsignal(signal.SIGTERM)
    asking = threading.Thread(target=ask)
    asking.start()
    serve(PlainTextResponse("here"), bound, on_end=lambda: ended.append(True))
    asking.join()
    assert (answers, ended) == ([(b"here", False)], [True])
    assert signal.getsignal(signal.SIGTERM) == before
    with socket.socket() as again:
        assert again.connect_ex((host, port)) != 0


def test_the_browser_is_given_a_private_file_not_the_token(monkeypatch: pytest.MonkeyPatch):
    """Every user of the machine sees the arguments of the browser's process."""
    opened: list[tuple[str, int, str]] = []

    def note(address: str) -> bool:
        file = Path(address.removeprefix("file://"))
        opened.append((address, file.stat().st_mode & 0o777, file.read_text()))
        return True

    monkeypatch.setattr(webbrowser, "open", note)
    with opened_browser("http://127.0.0.1:1/open?token=secret"):
        address, mode, text = opened[0]
        assert "secret" not in address
        assert (mode, "url=http://127.0.0.1:1/open?token=secret" in text) == (0o600, True)
    assert not Path(address.removeprefix("file://")).exists()
