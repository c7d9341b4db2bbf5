"""`concilium-center preview`: one page, for its owner."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from client.cli.app import app
from tests.support.viewed import viewed_center


@pytest.fixture(scope="module")
def center(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("preview") / "hgj"
    viewed_center(root)
    return root


def test_the_page_lies_beside_the_cases_and_is_no_case(center: Path):
    ran = CliRunner().invoke(app, ["preview", "--data", str(center)])
    assert ran.exit_code == 0
    assert ran.stdout.startswith(f"{center / 'preview.html'}: 3 case(s); 1 error, 1 warning, 0 notes; ")
    page = center / "preview.html"
    assert page.stat().st_mode & 0o777 == 0o600
    assert "<h1>hgj: cases at a glance</h1>" in page.read_text()


def test_an_empty_folder_gives_a_page_that_says_so(tmp_path: Path):
    out = tmp_path / "page.html"
    (tmp_path / "empty").mkdir()
    ran = CliRunner().invoke(app, ["preview", "--data", str(tmp_path / "empty"), "--out", str(out)])
    assert (ran.exit_code, "0 case(s); 1 error, 0 warnings, 0 notes" in ran.stdout) == (0, True)
    assert "found no folder inside" in out.read_text()
