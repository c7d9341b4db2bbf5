"""Who may import whom: the contracts hold, and they catch what they forbid."""

import ast
import importlib
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("fusion_models", "protocol", "strategies", "reporting", "server", "client", "deploy")


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the import contracts of the checkout in `folder`."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def house(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages and their contracts, to break."""
    copy = tmp_path_factory.mktemp("house")
    shutil.copy(repository / "pyproject.toml", copy)
    for package in PACKAGES:
        shutil.copytree(repository / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def test_all_contracts_hold(repository: Path) -> None:
    """Fifteen contracts, none broken."""
    result = _lint(repository)
    assert "15 kept, 0 broken" in result.stdout, result.stdout + result.stderr
    assert result.returncode == 0


@pytest.mark.parametrize(
    ("intruder", "statement", "broken"),
    [
        ("server/cli/intruder.py", "import deploy.study.prepare", "Layers"),
        ("server/rounds/intruder.py", "import client.data", "Layers"),
        ("client/data/intruder.py", "import server.study", "Layers"),
        ("strategies/bank/intruder.py", "import server.study", "Layers"),
        ("strategies/aggregation/intruder.py", "import fusion_models.losses", "Layers"),
        ("protocol/storage/intruder.py", "import strategies.bank", "Layers"),
        ("fusion_models/intruder.py", "import strategies.bank", "Layers"),
        ("fusion_models/intruder.py", "import protocol.errors", "no federation"),
        ("fusion_models/intruder.py", "import flwr.app", "no federation"),
        ("reporting/intruder.py", "import strategies.bank", "Layers"),
        ("reporting/intruder.py", "import protocol.errors", "no federation"),
        ("strategies/evaluation/intruder.py", "import reporting.pages", "Layers"),
        ("strategies/evaluation/intruder.py", "import jinja2", "strategies is arithmetic"),
        ("server/study/intruder.py", "import server.cli.app", "No circle"),
        ("strategies/aggregation/contract.py", "import strategies.aggregation.schemes", "No circle"),
        ("server/rounds/intruder.py", "import torch", "without torch"),
        ("protocol/messages/intruder.py", "import torch", "without torch"),
        ("strategies/bank/intruder.py", "from flwr.app import Message", "Flower codec"),
        ("protocol/messages/intruder.py", "from flwr.app import Message", "Flower codec"),
        ("protocol/storage/intruder.py", "import rich", "no commands"),
        ("client/join/intruder.py", "import mlflow", "knows MLflow"),
        ("fusion_models/vmambax/intruder.py", "import mamba_ssm", "knows mamba-ssm"),
        ("client/service/trainer_link.py", "import client.data.volume", "no data"),
        ("client/data/intruder.py", "from flwr.app import Message", "no network"),
        ("client/node/intruder.py", "import deploy.supervision", "keeps programs"),
        ("client/report/intruder.py", "import uvicorn", "serve a browser, with"),
        ("client/data/intruder.py", "import client.viewing.view_pages", "no network"),
        ("client/viewing/intruder.py", "import httpx", "no way out"),
    ],
)
def test_contract_catches(house: Path, intruder: str, statement: str, broken: str) -> None:
    """One forbidden import breaks the contract that forbids it."""
    module = house / intruder
    before = module.read_text() if module.exists() else ""
    module.write_text(f"{before}\n{statement}\n")
    try:
        result = _lint(house)
    finally:
        module.write_text(before)
    names_and_verdicts = re.split(r" (KEPT|BROKEN)", " ".join(result.stdout.split()))
    caught = [
        name
        for name, verdict in zip(names_and_verdicts[::2], names_and_verdicts[1::2], strict=False)
        if verdict == "BROKEN"
    ]
    assert result.returncode == 1
    assert any(broken in name for name in caught), result.stdout


def test_package_files_hold_one_docstring_line(repository: Path) -> None:
    """No code runs when a package is imported."""
    files = [path for package in PACKAGES for path in (repository / package).rglob("__init__.py")]
    assert len(files) >= len(PACKAGES)
    assert [path for path in files if len(path.read_text().strip().splitlines()) != 1] == []


STANDS_ON = {
    "protocol": {"cryptography", "filelock", "flwr", "numpy", "pydantic", "safetensors"},
    "strategies": {"Crypto", "cryptography", "numpy", "protocol", "pydantic", "safetensors", "scipy"},
}


def _imported(package: Path) -> set[str]:
    """The top-level names that a package imports anywhere, itself and the standard library aside."""
    found: set[str] = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {package.name}


@pytest.mark.parametrize("package", STANDS_ON)
def test_a_package_stands_on_what_the_page_says_and_on_nothing_else(repository: Path, package: str) -> None:
    """What no contract forbids by name is refused too."""
    assert _imported(repository / package) == STANDS_ON[package]


def test_what_stands_in_a_function_is_an_import_too(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("import os\n\ndef f():\n    from requests.auth import AuthBase\n")
    assert _imported(tmp_path) == {"requests"}


def test_every_name_that_a_benchmark_takes_from_the_packages_is_there(repository: Path) -> None:
    """No test runs all of them, and mypy does not read them."""
    missing = [
        f"{script.name}: {module}.{name}"
        for script in sorted((repository / "benchmarks").rglob("*.py"))
        for module, name in _names_taken(script)
        if not _is_there(module, name)
    ]
    assert missing == []


def _names_taken(script: Path) -> list[tuple[str, str]]:
    """Module and name of each import from one of the packages."""
    found = [node for node in ast.walk(ast.parse(script.read_text())) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in found if (node.module or "").partition(".")[0] in PACKAGES]
    return [(str(node.module), alias.name) for node in ours for alias in node.names]


def _is_there(module: str, name: str) -> bool:
    if importlib.util.find_spec(module) is None:
        return False
    loaded = importlib.import_module(module)
    if hasattr(loaded, name):
        return True
    return hasattr(loaded, "__path__") and importlib.util.find_spec(f"{module}.{name}") is not None
