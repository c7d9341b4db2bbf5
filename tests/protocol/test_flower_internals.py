"""All that is used of Flower beyond what it publishes: what an upgrade takes away is named here first."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from protocol import flower_internals


@pytest.mark.parametrize("name", sorted(flower_internals.WHERE))
def test_flower_still_has_the_name(name: str) -> None:
    assert getattr(flower_internals, name) is not None


def test_the_type_checker_knows_the_same_names_from_the_same_places() -> None:
    tree = ast.parse(Path(flower_internals.__file__).read_text())
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "flwr" in str(node.module)]
    places = {alias.name: str(node.module) for node in imported for alias in node.names}
    assert places == {
        name: place.removesuffix(f".{name}").partition(":")[0] for name, place in flower_internals.WHERE.items()
    }


def test_a_name_without_a_row_is_refused() -> None:
    with pytest.raises(AttributeError, match="'SuperLink' is not among the names"):
        _ = flower_internals.SuperLink


@pytest.mark.parametrize(
    ("light", "heavy"),
    [("ErrorCode", "flwr.supernode"), ("NodeInfo", "flwr.simulation"), ("TaskType", "flwr.cli.build")],
)
def test_a_light_name_loads_no_command(light: str, heavy: str) -> None:
    code = f"import sys; from protocol.flower_internals import {light}; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "statement", ["import flwr.supernode.cli", "from flwr.supercore import telemetry", "from flwr.proto.x_pb2 import X"]
)
def test_the_linter_refuses_it_elsewhere(repository: Path, statement: str) -> None:
    words = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename", "client/intruder.py", "-"]
    done = subprocess.run(words, input=f"{statement}\n", cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "take it from protocol.flower_internals" in done.stdout


def test_the_linter_lets_the_public_part_pass(repository: Path) -> None:
    words = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename", "client/intruder.py", "-"]
    text = "from flwr.app import Message\nfrom flwr.serverapp import Grid\nfrom flwr.clientapp import ClientApp\n"
    assert subprocess.run(words, input=text, cwd=repository, text=True, check=False).returncode == 0
