"""`concilium-center join` and `node`: exit codes, what is printed, and what never is."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from client.home.center_home import (
    CenterHome,
    only_instance,
)
from client.join.preflight import CHECKS
from deploy.center.cli import app
from tests.support.coordinator_stand_in import TOKEN, Certified, kit
from tests.support.join_checks import CODES
from tests.support.joined_home import ENDPOINT, joined_home
from tests.support.loopback import free_port

pytestmark = pytest.mark.network


@pytest.fixture
def home(tmp_path: Path) -> CenterHome:
    return joined_home(tmp_path / "home")


def dry_run(tmp_path: Path, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of `join --dry-run`."""
    words = ["join", *map(str, arguments), "--home", str(tmp_path / "home"), "--dry-run", "--json", "--device", "cpu"]
    result = CliRunner().invoke(app, words)
    return result.exit_code, json.loads(result.stdout)


def test_a_dry_run_that_passes_exits_with_0_and_leaves_nothing_behind(
    tmp_path: Path, certified: Certified, coordinator: int, cohort: Path
) -> None:
    certified.write_kit(tmp_path / "a.kit", kit(f"localhost:{coordinator}"))
    code, table = dry_run(tmp_path, tmp_path / "a.kit", "--data", cohort / "center-a", "--port", str(free_port()))
    assert (code, table["exit_code"]) == (0, 0)
    assert not (tmp_path / "home").exists()


def test_the_exit_code_is_that_of_the_first_failure_and_every_check_is_told(
    tmp_path: Path, certified: Certified
) -> None:
    certified.write_kit(tmp_path / "a.kit", kit(f"127.0.0.1:{free_port()}", flower="1.99"))
    code, table = dry_run(tmp_path, tmp_path / "a.kit", "--data", tmp_path / "nowhere")
    assert code == CODES["port"]
    assert [row["check"] for row in table["checks"] if row["status"] == "failed"] == ["port", "versions", "data"]
    assert len(table["checks"]) == len(CHECKS)


def test_an_expired_kit_is_refused(tmp_path: Path, certified: Certified) -> None:
    certified.write_kit(tmp_path / "a.kit", kit("nowhere.invalid:443", days=-1))
    code, table = dry_run(tmp_path, tmp_path / "a.kit")
    assert code == CODES["kit"]
    assert "expired" in table["checks"][0]["text"]


def test_a_kit_with_a_changed_byte_is_refused(tmp_path: Path, certified: Certified) -> None:
    path = tmp_path / "a.kit"
    certified.write_kit(path, kit("nowhere.invalid:443"))
    path.write_bytes(path.read_bytes().replace(b"nowhere.invalid", b"nowhere.invalie", 1))
    code, _ = dry_run(tmp_path, path)
    assert code == CODES["kit"]


def test_a_second_instance_on_one_home_is_refused(tmp_path: Path, certified: Certified) -> None:
    certified.write_kit(tmp_path / "a.kit", kit("nowhere.invalid:443"))
    with only_instance(CenterHome(tmp_path / "home")):
        code, table = dry_run(tmp_path, tmp_path / "a.kit")
    assert code == CODES["home"]
    assert "in use" in table["checks"][1]["text"]


def test_the_token_is_in_no_output(tmp_path: Path, certified: Certified, coordinator: int) -> None:
    of = kit(f"localhost:{coordinator}")
    certified.write_kit(tmp_path / "a.kit", of)
    _, table = dry_run(tmp_path, tmp_path / "a.kit")
    assert of.token not in json.dumps(table)


def test_another_studys_kit_has_its_exit_code(home: CenterHome, tmp_path: Path) -> None:
    Certified(tmp_path / "authority").write_kit(tmp_path / "b.kit", kit(ENDPOINT, study="large"))
    words = ["join", str(tmp_path / "b.kit"), "--home", str(home.root), "--dry-run", "--device", "cpu"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 21
    assert "belongs to center 'center-a' of study 'small'" in result.stdout


def test_joining_prints_neither_token_nor_key(tmp_path: Path) -> None:
    Certified(tmp_path / "authority").write_kit(tmp_path / "a.kit", kit(ENDPOINT))
    words = ["join", str(tmp_path / "a.kit"), "--home", str(tmp_path / "home"), "--prepare", "--device", "cpu"]
    result = CliRunner().invoke(app, words)
    private = (tmp_path / "home" / "node" / "key").read_text().splitlines()[1]
    assert result.exit_code == 12
    assert TOKEN not in result.output
    assert private not in result.output
