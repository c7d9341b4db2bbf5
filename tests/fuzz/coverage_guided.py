"""Inputs that reach new lines, by atheris: `python tests/fuzz/coverage_guided.py nifti -max_total_time=1200`.

Atheris is no dependency: `pip install atheris` into a folder of its own, and name the folder in PYTHONPATH. Everything
after the target is libFuzzer's: options such as `-dict=FILE`, `-artifact_prefix=FOLDER/` and a folder for its corpus.
An input that ends a run belongs into `findings.py`.
"""

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

INSTRUMENTED = ["protocol", "client", "server", "deploy", "json", "tomllib", "csv"]


def main() -> None:
    """Fuzz one target until libFuzzer's options, an input or Ctrl-C end it."""
    atheris: Any = importlib.import_module("atheris")

    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=INSTRUMENTED):
        target = importlib.import_module("tests.fuzz.targets").TARGETS[name]()
    with tempfile.TemporaryDirectory() as seeds:
        for number, seed in enumerate(target.seeds):
            Path(seeds, str(number)).write_bytes(seed)
        atheris.Setup([sys.argv[0], *options, seeds], target)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
