"""`concilium-center dashboard`: what it prints, and what it refuses before it listens."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from client.cli.app import app
from client.home.center_home import HomeError
from protocol.errors import PortError
from reporting.serving import alone
from reporting.serving.server import bind
from tests.support.dashboard_home import dashboard_home


def test_it_prints_an_address_with_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token has 256 random bits: 43 characters."""
    served: list[object] = []
    monkeypatch.setattr(alone, "serve", lambda pages, *_args, **_kwargs: served.append(pages))
    ran = CliRunner().invoke(app, ["dashboard", "--home", str(dashboard_home(tmp_path / "home").root)])
    assert ran.exit_code == 0
    told, address = ran.stdout.splitlines()
    assert told == "center center-a: open this address once, in a browser on this machine:"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/open\?token=[\w-]{43}", address)
    assert len(served) == 1


def test_two_on_one_port_are_refused(tmp_path: Path) -> None:
    home = dashboard_home(tmp_path / "home").root
    with bind(0) as taken:
        port = str(taken.getsockname()[1])
        ran = CliRunner().invoke(app, ["dashboard", "--home", str(home), "--port", port])
    assert isinstance(ran.exception, PortError)


def test_a_folder_that_is_no_home_is_refused(tmp_path: Path) -> None:
    ran = CliRunner().invoke(app, ["dashboard", "--home", str(tmp_path)])
    assert isinstance(ran.exception, HomeError)
    assert "join first" in str(ran.exception)
