"""`concilium-center check`: what is in a folder, with all its issues, before anything is joined or trained."""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from client.cli.study_part import CenterPart, read_study_part
from client.data.label_checks import raise_if_mislabelled, raise_if_unlearnable, training_issues
from client.data.manifest import Case, Manifest, raise_if_unusable
from client.data.scan import scan_center
from client.data.split import parts
from protocol.messages.instruction import Part
from protocol.messages.labels import Labels
from protocol.messages.settings import StudySettings
from protocol.modalities import IMAGES, ModalitySetting, modalities_in
from protocol.tasks import TaskName

UNKNOWN = "-"
Columns = Mapping[str, Callable[[Case], str]]

PARTS: tuple[Part, ...] = ("train", "validation", "test")


def check(
    data: Annotated[Path, typer.Option(help="Folder with one folder per case, a table of labels, or both.")],
    modalities: Annotated[
        ModalitySetting | None, typer.Option(help="What the center offers; as the study says, ct+pet without one.")
    ] = None,
    study: Annotated[Path | None, typer.Option(help="The study file; labels and EHR are checked too.")] = None,
    center: Annotated[str, typer.Option(help="The center's name in the study; that of the folder by default.")] = "",
) -> None:
    """Read every case and list all issues; exits with 1 when no case can be used or the labels allow no study."""
    offered = modalities_in(modalities) if modalities else ()
    if study is None:
        _show(scan_center(data.name, [data], offered or IMAGES), None, {})
        return
    part = read_study_part(study)
    name = center or data.resolve().name
    own = part.center(name) if center or not offered else part.centers.get(name, CenterPart())
    settings = part.settings
    manifest = scan_center(name, [data], offered or own.modalities, settings.labels, own.rows)
    seed = settings.seed if settings.split.seed is None else settings.split.seed
    _show(manifest, settings, parts(manifest, seed=seed, split=settings.split, tasks=settings.tasks))


def _show(manifest: Manifest, settings: StudySettings | None, drawn: Mapping[str, Part]) -> None:
    """Print every case and issue, then the counts.

    Raises:
        CaseError: no case can be used.
        LabelError: no study can begin with the labels.
    """
    Console().print(case_table(manifest, settings))
    raise_if_mislabelled(manifest)
    raise_if_unusable(manifest)
    if settings:
        raise_if_unlearnable(manifest, drawn, settings)
    for issue in [*manifest.issues, *(training_issues(manifest, drawn, settings) if settings else ())]:
        typer.echo(issue.message, err=True)
    if settings:
        counts = Counter(drawn.values())
        typer.echo(", ".join(f"{part} {counts[part]}" for part in PARTS))
    typer.echo(f"{len(manifest.usable)} of {len(manifest.cases)} case(s) can be used; digest {manifest.digest}")


def case_table(manifest: Manifest, settings: StudySettings | None) -> Table:
    """A row for each case: what it has, with the targets of the study's tasks, and what is wrong."""
    targets = _targets(settings)
    table = Table("case", "modalities", *targets, "usable", "issues")
    for case in manifest.cases:
        cells = [show(case) for show in targets.values()]
        issues = "\n".join(issue.message for issue in case.issues)
        table.add_row(case.name, "+".join(case.modalities), *cells, "yes" if case.usable else "NO", issues)
    return table


def _targets(settings: StudySettings | None) -> Columns:
    """Column -> what it shows of a case, for the study's tasks; without a study, what needs no schema."""
    tasks, labels = (settings.tasks, settings.labels) if settings else (tuple(COLUMNS), Labels())
    return {name: show for task in tasks for name, show in COLUMNS[task](labels).items()}


def _class_column(labels: Labels) -> Columns:
    return {labels.classes.column: partial(_class, labels.classes.values)} if labels.classes else {}


def _endpoint_columns(labels: Labels) -> Columns:
    return {name: partial(_endpoint, place) for place, name in enumerate(labels.endpoints)}


def _contour(case: Case) -> str:
    return "yes" if case.has_target("segmentation") else "no"


def _class(values: tuple[str, ...], case: Case) -> str:
    return UNKNOWN if case.labels.class_index is None else values[case.labels.class_index]


def _endpoint(place: int, case: Case) -> str:
    """Days, with the event or without: "552 d" or "552 d+", the sign of a time that is censored."""
    found = case.labels.endpoints[place] if case.labels.endpoints else None
    return UNKNOWN if found is None else f"{found[0]:.0f} d{'' if found[1] else '+'}"


COLUMNS: Mapping[TaskName, Callable[[Labels], Columns]] = {
    "segmentation": lambda _labels: {"contour": _contour},
    "classification": _class_column,
    "survival": _endpoint_columns,
}
"""Task -> the columns of its targets, by the study's labels."""
