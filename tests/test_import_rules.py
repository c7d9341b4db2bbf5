"""Who may import whom: the contracts hold, they catch what they forbid, packages load without the rest."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("fusion_models", "strategies", "server", "client", "deploy")
# Imports every module of a package in a fresh interpreter from which the named libraries are missing.
LOAD_WITHOUT = """
import importlib, pkgutil, sys
from importlib.machinery import PathFinder

package, missing = sys.argv[1], set(sys.argv[2:])

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in missing else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
root = importlib.import_module(package)
names = [package] + [module.name for module in pkgutil.walk_packages(root.__path__, package + ".")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the import contracts of the checkout in `folder`."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", program, "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def _load_without(package: str, missing: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """Import all modules of `package` where the libraries `missing` cannot be found."""
    command = [sys.executable, "-c", LOAD_WITHOUT, package, *missing]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def house(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages and their contracts, to break."""
    copy = tmp_path_factory.mktemp("house")
    shutil.copy(repository / "pyproject.toml", copy)
    for package in PACKAGES:
        shutil.copytree(repository / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    return copy


def test_all_contracts_hold(repository: Path) -> None:
    """Five contracts, none broken."""
    result = _lint(repository)
    assert "5 kept, 0 broken" in result.stdout, result.stdout + result.stderr
    assert result.returncode == 0


@pytest.mark.parametrize(
    ("intruder", "statement", "broken"),
    [
        ("strategies/intruder.py", "import server.study", "Layers"),
        ("server/intruder.py", "import client.data", "Layers"),
        ("server/intruder.py", "import torch", "without torch"),
        ("strategies/aggregation/intruder.py", "import fusion_models.losses", "without torch"),
        ("fusion_models/intruder.py", "import flwr.app", "no federation"),
        ("strategies/intruder.py", "from flwr.app import Message", "wire format"),
        ("client/intruder.py", "import mlflow", "knows MLflow"),
    ],
)
def test_contract_catches(house: Path, intruder: str, statement: str, broken: str) -> None:
    """One forbidden import breaks the contract that forbids it."""
    module = house / intruder
    module.write_text(f'"""Does what it may not."""\n\n{statement}\n')
    try:
        result = _lint(house)
    finally:
        module.unlink()
    verdicts = [line for line in " ".join(result.stdout.split()).split(" KEPT") if "BROKEN" in line]
    assert result.returncode == 1
    assert any(broken in line for line in verdicts), result.stdout


@pytest.mark.parametrize(
    ("package", "missing"),
    [
        ("server", ("torch", "monai", "peft", "SimpleITK", "client", "fusion_models")),
        ("strategies", ("torch", "monai", "peft", "SimpleITK", "mlflow", "server", "client", "fusion_models")),
        ("client", ("mlflow", "server")),
    ],
)
def test_package_loads_without(package: str, missing: tuple[str, ...]) -> None:
    """Every module of the package imports where the libraries it may not need are missing."""
    result = _load_without(package, missing)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 1


def test_a_missing_library_is_noticed() -> None:
    """The probe can fail: models do not load without torch."""
    result = _load_without("fusion_models", ("torch",))
    assert result.returncode == 1
    assert "No module named 'torch'" in result.stderr


def test_package_files_hold_one_docstring_line(repository: Path) -> None:
    """No code runs when a package is imported."""
    files = [path for package in PACKAGES for path in (repository / package).rglob("__init__.py")]
    assert len(files) >= len(PACKAGES)
    assert [path for path in files if len(path.read_text().strip().splitlines()) != 1] == []
