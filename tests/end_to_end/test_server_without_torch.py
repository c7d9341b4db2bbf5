import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = """
import importlib, pkgutil, sys

BLOCKED = {"torch", "monai", "peft", "SimpleITK"}


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r} (blocked by the test)", name=name)


sys.meta_path.insert(0, Absent())
"""
IMPORT_ALL = """
modules = ["server", "strategies", "reporting"]
for package in list(modules):
    paths = importlib.import_module(package).__path__
    modules += [found.name for found in pkgutil.walk_packages(paths, package + ".")]
for module in modules:
    importlib.import_module(module)
print(len(modules), sorted(BLOCKED & set(sys.modules)))
"""
TRACK = """
from pathlib import Path
from server.tracking.tracker import Tracker
from server.study.checkpoint import Checkpoint
from server.study.file import Study

stage = {"name": "s", "kind": "pretrain", "centers": ["a"], "rounds": 1, "local_steps": 1, "learning_rate": 0.1}
study = Study.model_validate(
    {"name": "n", "title": "t", "formed_by": "f", "model": {"name": "m"}, "centers": {"a": {}}, "stages": [stage]}
)
with Tracker.open(Path(sys.argv[1]), study, run_ids={}) as tracker:
    tracker.catch_up(Checkpoint(0, 0, "0", {}))
print(len(tracker.run_ids))
"""


def run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_of_server_strategies_and_reporting_imports_without_torch():
    count, blocked = run(IMPORT_ALL).split(maxsplit=1)
    expected = [path for name in ("server", "strategies", "reporting") for path in (ROOT / name).rglob("*.py")]
    assert int(count) == len(expected)
    assert blocked.strip() == "[]"


def test_tracking_works_without_torch(tmp_path):
    assert run(TRACK, str(tmp_path)).strip() == "3"


def test_the_block_really_blocks():
    blocked = "try:\n    import torch\nexcept ModuleNotFoundError:\n    print('blocked')"
    assert run(blocked).strip() == "blocked"
