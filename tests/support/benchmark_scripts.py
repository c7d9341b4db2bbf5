"""Scripts of `benchmarks/` as modules: they are no package, and import their neighbours by the folder they lie in."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def load_script(place: str) -> ModuleType:
    """The module of a script, such as "speed/frozen_calls.py"; the path is as before afterwards."""
    path = BENCHMARKS / place
    sys.path.insert(0, str(path.parent))
    try:
        return importlib.import_module(path.stem)
    finally:
        sys.path.remove(str(path.parent))
