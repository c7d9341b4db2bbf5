"""What was asked before the first run: kept in `declaration.json`, so that a question that came later shows.

    {"at": time, "file_sha256": of the benchmark file, "endpoint": table or null, "contrasts": [table, ...]}

It is written once, when nothing has been run, and again only while nothing has been run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from deploy.comparison.benchmark_file import Benchmark, DeclaredContrast, Endpoint
from deploy.comparison.planner import Plan
from deploy.comparison.run_folders import RUNS
from protocol.errors import StudyError
from protocol.messages.base import Settings
from protocol.storage.atomic_files import write_text

DECLARATION = "declaration.json"
Status = Literal["declared", "added later", "withdrawn"]


class Declaration(Settings):
    """What `declaration.json` says."""

    at: str
    file_sha256: str
    endpoint: Endpoint | None
    contrasts: tuple[DeclaredContrast, ...]


@dataclass(frozen=True)
class Question:
    """A contrast with its endpoint, and whether it was asked before the first run."""

    contrast: DeclaredContrast
    endpoint: Endpoint
    status: Status


def declare(plan: Plan, out: Path) -> None:
    """Write down what the file asks, unless a run has begun: then what was written stands."""
    begun = any(next((out / RUNS).glob(f"{pattern}/study.toml"), None) for pattern in ("*/*/*", "*/*/*/*"))
    if begun:
        return
    asked = Declaration(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        file_sha256=plan.sha256,
        endpoint=plan.benchmark.endpoint,
        contrasts=plan.benchmark.contrasts,
    )
    write_text(out / DECLARATION, asked.model_dump_json(indent=1) + "\n")


def read_declaration(out: Path) -> Declaration | None:
    """What was written down before the first run, None where nothing was.

    Raises:
        StudyError: the file is damaged.
    """
    path = out / DECLARATION
    if not path.exists():
        return None
    try:
        return Declaration.model_validate_json(path.read_text())
    except ValidationError as error:
        raise StudyError(
            f"{path} is damaged ({error.error_count()} finding(s)): it says what was asked before the first run; "
            "restore it from a backup, or remove it, and every contrast is shown as added later"
        ) from error


def questions(benchmark: Benchmark, declared: Declaration | None) -> Sequence[Question]:
    """Every contrast that was declared or is asked now; one under another endpoint is another contrast."""
    before = _asked(declared.endpoint, declared.contrasts) if declared else []
    now = _asked(benchmark.endpoint, benchmark.contrasts)
    return [
        *(Question(contrast, endpoint, _status((contrast, endpoint), now)) for contrast, endpoint in before),
        *(
            Question(contrast, endpoint, "added later")
            for contrast, endpoint in now
            if (contrast, endpoint) not in before
        ),
    ]


def facts(plan: Plan, declared: Declaration | None) -> Mapping[str, Any]:
    """What `benchmark.json` says of the declaration."""
    return {
        "file_sha256": plan.sha256,
        "declared_at": declared.at if declared else None,
        "declared_file_sha256": declared.file_sha256 if declared else None,
    }


def sentences(plan: Plan) -> list[str]:
    """What the screen says before anything runs."""
    endpoint, arms = plan.benchmark.endpoint, {arm.name: arm.label for arm in plan.benchmark.arms}
    if endpoint is None:
        return ["no endpoint and no contrast is declared: every figure is exploratory"]
    asked = [f"{arms[item.a]} minus {arms[item.b]}: {kind_in_words(item)}" for item in plan.benchmark.contrasts]
    return [f"endpoint: {endpoint.metric}, {endpoint.setting}, after the last stage", *asked]


def kind_in_words(contrast: DeclaredContrast) -> str:
    """The kind of a contrast with its margin."""
    return contrast.kind if contrast.margin is None else f"{contrast.kind}, margin {contrast.margin:g}"


Asked = tuple[DeclaredContrast, Endpoint]


def _asked(endpoint: Endpoint | None, contrasts: Sequence[DeclaredContrast]) -> list[Asked]:
    return [] if endpoint is None else [(contrast, endpoint) for contrast in contrasts]


def _status(asked: Asked, now: Sequence[Asked]) -> Status:
    return "declared" if asked in now else "withdrawn"
