"""What a benchmark file says of itself, and that each contradiction in it is named."""

from typing import Any

import pytest
from pydantic import ValidationError

from deploy.comparison.benchmark_file import Benchmark, DeclaredContrast, file_findings

FILE: dict[str, Any] = {
    "name": "b",
    "title": "t",
    "formed_by": "f",
    "seeds": [1],
    "study": {"split": {"seed": 1}},
    "orders": {"forward": ["x"]},
    "schedules": {"s": [{}]},
    "arms": [{"name": name, "label": name, "schedule": "s", "orders": ["forward"]} for name in ("x", "y")],
    "references": {"default": "x"},
    "endpoint": {"metric": "dice", "setting": "ct+pet"},
}
NOT_INFERIOR = {"a": "x", "b": "y", "kind": "non-inferiority", "margin": 0.01}


def findings(**changes: Any) -> list[str]:
    return list(file_findings(Benchmark.model_validate({**FILE, **changes})))


def test_a_file_with_folds_and_contrasts_has_no_finding() -> None:
    assert findings(folds=5, contrasts=[NOT_INFERIOR, {"a": "x", "b": "y", "kind": "superiority"}]) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contrasts": [{**NOT_INFERIOR, "b": "z"}]}, "contrasts.0: ['z'] do not exist; known: ['x', 'y']"),
        ({"contrasts": [{**NOT_INFERIOR, "b": "x"}]}, "contrasts.0: 'x' cannot be compared with itself"),
        ({"contrasts": [NOT_INFERIOR, NOT_INFERIOR]}, "contrasts: all must differ"),
        ({"contrasts": [NOT_INFERIOR], "endpoint": None}, "endpoint: is missing"),
        ({"folds": 5, "study": {"split": {"seed": 1, "test": 0.3}}}, "study.split: ['test'] belong to the benchmark's"),
        (
            {"arms": [{**arm, "starts_from": "nothing"} for arm in FILE["arms"]]},
            "references.default: arm 'x' starts from nothing",
        ),
        ({"folds": 5, "backbone_file": "x.safetensors"}, "backbone_file: one file serves all folds"),
    ],
)
def test_a_contradiction_is_named(changes: dict[str, Any], message: str) -> None:
    (found,) = findings(**changes)
    assert found.startswith(message)


@pytest.mark.parametrize(("kind", "margin"), [("superiority", 0.01), ("non-inferiority", None)])
def test_non_inferiority_alone_has_a_margin(kind: str, margin: float | None) -> None:
    with pytest.raises(ValidationError, match="non-inferiority needs one, nothing else"):
        DeclaredContrast.model_validate({"a": "x", "b": "y", "kind": kind, "margin": margin})
