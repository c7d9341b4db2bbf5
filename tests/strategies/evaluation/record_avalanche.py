"""What Avalanche's own metric classes say about small evaluation matrices; test_avalanche_parity.py holds the numbers.

    pip install "avalanche-lib==0.6.0" --no-deps
    pip install torch numpy matplotlib psutil gputil
    python tests/strategies/evaluation/record_avalanche.py

Avalanche's training loop is replaced by the order of its callbacks: evaluate before any training, then for each
experience train and evaluate all. A score of 0.37 is 100 samples of which 37 are classified correctly. The metric
classes are Avalanche's, unchanged. Image, detection and logging packages, which they import and these metrics never
call, are left out of the environment and stand in as empty modules. It prints one JSON object.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

SAMPLES = 100
ABSENT = ("torchvision", "torchmetrics", "wandb", "pycocotools", "avalanche.benchmarks", "avalanche.training")
MATRICES: dict[str, tuple[tuple[float, ...], ...]] = {
    "published": ((0.1, 0.2, 0.1), (0.8, 0.3, 0.2), (0.7, 0.9, 0.4), (0.6, 0.8, 0.85)),
    "falling": ((0.05, 0.15), (0.9, 0.25), (0.4, 0.75)),
    "rising": ((0.0, 0.0, 0.0), (0.31, 0.12, 0.07), (0.44, 0.52, 0.33), (0.58, 0.61, 0.79)),
    "best in between": (
        (0.03, 0.11, 0.08, 0.21),
        (0.52, 0.34, 0.29, 0.18),
        (0.77, 0.66, 0.41, 0.36),
        (0.61, 0.83, 0.59, 0.47),
        (0.49, 0.71, 0.55, 0.92),
    ),
}


class EmptyModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the packages of ABSENT: modules whose every attribute is a class that takes and does nothing."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """A package of that name, where it is absent or inside an absent one."""
        del path, target
        absent = any(fullname == name or fullname.startswith(f"{name}.") for name in ABSENT)
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True) if absent else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """An empty module."""
        module = ModuleType(spec.name)
        module.__getattr__ = _nothing  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run."""


def _nothing(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


def load_metrics() -> SimpleNamespace:
    """The four stream metrics, without the training side of the package."""
    sys.meta_path.insert(0, EmptyModules())
    root = ModuleType("avalanche")
    root.__path__ = [str(Path(str(importlib.metadata.distribution("avalanche-lib").locate_file("avalanche"))))]
    sys.modules["avalanche"] = root
    accuracy, forgetting, forward = (
        importlib.import_module(f"avalanche.evaluation.metrics.{name}")
        for name in ("accuracy", "forgetting_bwt", "forward_transfer")
    )
    return SimpleNamespace(
        accuracy=accuracy.StreamAccuracy,
        forgetting=forgetting.StreamForgetting,
        backward=forgetting.StreamBWT,
        forward=forward.StreamForwardTransfer,
    )


def values_after(rows: Sequence[Sequence[float]], classes: SimpleNamespace) -> dict[str, list[float]]:
    """What each metric says after each evaluation pass of R, the first of which comes before any training."""
    metrics = {name: build() for name, build in vars(classes).items()}
    found: dict[str, list[float]] = {name: [] for name in metrics}
    for trained, row in enumerate(rows):
        if trained:
            _call(metrics, "before_training_exp", _moment(trained - 1, 0.0))
        _evaluate(metrics, row)
        for name, metric in metrics.items():
            found[name].append(round(float(metric.result()), 12))
    return found


def _evaluate(metrics: dict[str, Any], row: Sequence[float]) -> None:
    """One evaluation pass over all experiences, as Avalanche's loop calls it."""
    _call(metrics, "before_eval", _moment(0, row[0]))
    for experience, score in enumerate(row):
        moment = _moment(experience, score)
        for hook in ("before_eval_exp", "before_eval_iteration", "after_eval_iteration", "after_eval_exp"):
            _call(metrics, hook, moment)
    _call(metrics, "after_eval", _moment(len(row) - 1, row[-1]))


def _call(metrics: dict[str, Any], hook: str, moment: SimpleNamespace) -> None:
    for metric in metrics.values():
        getattr(metric, hook)(moment)


def _moment(experience: int, score: float) -> SimpleNamespace:
    """The part of Avalanche's strategy object that metrics read: which experience, and one batch with its answers."""
    right = round(SAMPLES * score)
    return SimpleNamespace(
        experience=SimpleNamespace(
            current_experience=experience, task_labels=[0], origin_stream=SimpleNamespace(name="test")
        ),
        mb_y=torch.zeros(SAMPLES, dtype=torch.long),
        mb_output=torch.tensor([0] * right + [1] * (SAMPLES - right)),
        mb_task_id=torch.zeros(SAMPLES, dtype=torch.long),
        clock=SimpleNamespace(train_iterations=0),
        eval_every=1,
        is_eval=True,
    )


def main() -> None:
    """Print the version and, for every matrix, each metric after each evaluation pass."""
    classes = load_metrics()
    results = {name: values_after(rows, classes) for name, rows in MATRICES.items()}
    found = {"version": importlib.metadata.version("avalanche-lib"), "matrices": MATRICES, "results": results}
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
