"""Scores of an adapter of the bank on any folder of cases, also ones that no study has seen."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from client.data.checks import Issue
from client.data.label_checks import OF_A_CELL
from client.data.manifest import Case, Manifest, raise_if_unusable
from client.data.preprocessing import PreparedCase, prepare_case
from client.data.scan import scan_center
from client.data.scan_progress import ScanProgress, tell_nobody
from client.data.targets import add_labels
from client.learning.assembly import assemble
from client.learning.bank_settings import settings_behind
from client.tasks.building import build_tasks
from client.tasks.contract import CaseScore, CenterTask, runnable_settings
from fusion_models.model_row import ModelRow
from protocol.errors import CaseError
from protocol.messages.labels import Labels
from protocol.messages.scores import Score
from protocol.messages.settings import StudySettings
from protocol.modalities import MODALITIES, ModalitySetting, parts_of
from protocol.tasks import TASKS, metric_named
from strategies.bank.bank import AdapterBank


def load_adapter(bank: AdapterBank, row: ModelRow, name: str, version: int | None, *, device: str) -> nn.Module:
    """The network of an entry of the bank; the one in use when no version is given."""
    entry = bank.entry(name, version)
    tensors = bank.tensors(entry)
    settings = settings_behind(bank.settings, row, bank.adapter_config, tensors)
    return assemble(settings, row, bank.backbone(entry.backbone), tensors, device=device)


def one_for_all(model: nn.Module) -> Callable[[PreparedCase], nn.Module]:
    """The same network for every case."""
    return lambda _case: model


def scan_folder(
    data: Path, wanted: ModalitySetting | None, labels: Labels, *, progress: ScanProgress = tell_nobody
) -> Manifest:
    """The cases of a folder, read only as far as the wanted setting needs, with what their table says by a schema.

    A cell that says what cannot be is taken for missing and told; a case whose row cannot be told from another is left
    out, and the others can be scored.

    Raises:
        CaseError: no case can be used, or the table as a whole cannot; the message lists the issues.
    """
    asked = MODALITIES if wanted is None else [name for name in MODALITIES if name in parts_of(wanted)]
    scanned = scan_center(data.resolve().name, [data], asked, labels, progress=progress)
    manifest = replace(scanned, cases=tuple(_without_bad_cells(case) for case in scanned.cases))
    raise_if_unusable(manifest)
    return manifest


def _without_bad_cells(case: Case) -> Case:
    """The case with what its sound cells say, which is all that its labels hold."""
    return replace(case, issues=tuple(_spare(issue) if issue.code in OF_A_CELL else issue for issue in case.issues))


def _spare(issue: Issue) -> Issue:
    return replace(issue, message=f"{issue.message}; the cell is taken for missing", grade="warning")


def evaluate_cases(
    model_for: Callable[[PreparedCase], nn.Module],
    settings: StudySettings,
    row: ModelRow,
    manifest: Manifest,
    wanted: ModalitySetting | None,
) -> Iterator[tuple[CenterTask, CaseScore]]:
    """Score each usable case once for each task whose target it has.

    That is under `wanted`, or under the fullest setting that the case serves. `model_for` gives the network for a case:
    one for all, or the one a router chooses.

    Raises:
        CaseError: no case has a task's target and what the network needs.
    """
    tasks, able = build_tasks(settings), set(row.settings) if wanted is None else set(row.settings) & {wanted}
    scored = 0
    for found in manifest.usable:
        if not any(found.has_target(task.name) for task in tasks):
            continue
        case = add_labels(prepare_case(found.name, found.paths, settings.preprocessing), found.labels)
        asked = {task: runnable_settings(task, case, able) for task in tasks if task.has_target(case)}
        model = model_for(case) if any(asked.values()) else None
        for task, runnable in asked.items():
            if model is not None and runnable:
                scored += 1
                yield task, task.score(case, runnable[-1], task.predict(model, case, runnable[-1]))
    if not scored:
        needed = " or ".join(TASKS[task.name].target for task in tasks)
        raise CaseError(
            f"center '{manifest.center}': none of {len(manifest.usable)} usable case(s) has {needed} and images for "
            f"{wanted or 'any setting'}; model '{settings.model.name}' runs {sorted(row.settings)}"
        )


def evaluation_table(scores: Iterable[tuple[CenterTask, CaseScore]], manifest: Manifest) -> dict[str, Any]:
    """Figures of each case, their means, those of the cohort, which cases could not be scored, and cells not read.

    A case has one row for each setting that it was scored under; `undefined` counts the rows that lack a figure. What
    is of a cohort, where a task has it, has an entry for each endpoint where there are endpoints, with the cases that
    stand behind it.
    """
    rows: dict[tuple[str, str], dict[str, float | None]] = {}
    by_task: dict[CenterTask, list[CaseScore]] = {}
    for task, row in scores:
        rows.setdefault((row.case, row.modalities), {}).update(row.values)
        by_task.setdefault(task, []).append(row)
    figures = [task.summarise(of_task) for task, of_task in by_task.items()]
    cohort = {name: value for score in figures for name, value in _of_a_cohort(score).items()}
    table = {
        "cases": [{"case": case, "modalities": setting, **values} for (case, setting), values in rows.items()],
        "mean": {name: value for score in figures for name, value in _of_cases(score)},
        "undefined": sum(None in values.values() for values in rows.values()),
        "left_out": sorted({case.name for case in manifest.cases} - {case for case, _ in rows}),
        "warnings": [issue.message for issue in manifest.all_issues if issue.code in OF_A_CELL],
    }
    return {**table, "cohort": cohort} if cohort else table


def _of_cases(score: Score) -> Iterator[tuple[str, float | None]]:
    """The figures that are means over cases."""
    yield from ((name, value) for name, value in score.values.items() if metric_named(name).of == "case")


def _of_a_cohort(score: Score) -> dict[str, Any]:
    """The other figures: by name, or by endpoint where they have one."""
    found = {name: value for name, value in score.values.items() if metric_named(name).of != "case"}
    if not any("/" in name for name in found):
        return found
    endpoints: dict[str, Any] = {}
    for name, value in found.items():
        metric, _, endpoint = name.partition("/")
        if endpoint:
            of_endpoint = endpoints.setdefault(endpoint, {"cases": 0})
            of_endpoint[metric] = value
            of_endpoint["cases"] = max(of_endpoint["cases"], score.behind(name))
    return endpoints
