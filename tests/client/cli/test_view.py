"""`concilium-center view`: what it prints, and what it refuses before it listens."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from client.cli.app import app
from protocol.errors import CaseError, PortError
from reporting.serving import server
from reporting.serving.server import bind
from tests.support.viewed import viewed_center


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("view") / "hgj"
    viewed_center(root)
    return root


def test_it_prints_an_address_with_a_token(center: Path, monkeypatch: pytest.MonkeyPatch):
    """The token has 256 random bits: 43 characters."""
    served: list[object] = []
    monkeypatch.setattr(server, "serve", lambda pages, _bound: served.append(pages))
    ran = CliRunner().invoke(app, ["view", "--data", str(center)])
    assert ran.exit_code == 0
    told, address = ran.stdout.splitlines()
    assert told == "3 case(s); open this address once, in a browser on this machine:"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/open\?token=[\w-]{43}", address)
    assert len(served) == 1


def test_a_taken_port_is_told_before_the_cases_are_read(tmp_path: Path):
    with bind(0) as taken:
        ran = CliRunner().invoke(app, ["view", "--data", str(tmp_path), "--port", str(taken.getsockname()[1])])
    assert isinstance(ran.exception, PortError)


def test_a_folder_without_a_case_is_refused(tmp_path: Path):
    ran = CliRunner().invoke(app, ["view", "--data", str(tmp_path)])
    assert isinstance(ran.exception, CaseError)
    assert "found no folder inside" in str(ran.exception)
