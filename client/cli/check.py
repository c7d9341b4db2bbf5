"""`concilium-center check`: what is in a folder, with all its issues, before anything is joined or trained."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from client.cli.check_view import CheckResult, print_json, print_text
from client.cli.interruption import exit_on_signals
from client.cli.privacy_part import examine_privacy
from client.cli.progress_bars import show_cases
from client.cli.study_part import CenterPart, StudyPart, read_study_part
from client.data.census import PARTS, count_cases, expect_folders, read_expected
from client.data.checks import Issue, Subject
from client.data.label_checks import to_mend
from client.data.manifest import Case, Manifest
from client.data.requirements import expectation_issues, study_issues
from client.data.scan import scan_center
from client.data.scan_progress import ScanProgress
from client.data.split import parts
from client.home.center_home import DEFAULT_MINIMUM_CASES
from client.home.own_privacy import OwnPrivacy, read_own_privacy
from protocol.errors import CaseError, ConciliumError
from protocol.messages.instruction import Part
from protocol.messages.labels import Labels
from protocol.messages.settings import StudySettings
from protocol.modalities import IMAGES, Modality, ModalitySetting, modalities_in
from protocol.tasks import TaskName

if TYPE_CHECKING:
    from client.learning.round_cost import RoundCost

__all__ = ["COLUMNS", "PARTS", "check"]

UNKNOWN = "-"
Columns = Mapping[str, Callable[[Case], str]]


def check(
    data: Annotated[Path, typer.Option(help="Folder with one folder per case, a table of labels, or both.")],
    modalities: Annotated[
        ModalitySetting | None, typer.Option(help="What the center offers; as the study says, ct+pet without one.")
    ] = None,
    study: Annotated[
        Path | None, typer.Option(help="The study file: labels, EHR and all that it needs of a center are checked too.")
    ] = None,
    center: Annotated[str, typer.Option(help="The center's name in the study; that of the folder by default.")] = "",
    minimum_cases: Annotated[
        int, typer.Option(min=1, help="As for `join`: fewest cases behind what leaves; tells what would be withheld.")
    ] = DEFAULT_MINIMUM_CASES,
    expected: Annotated[
        str, typer.Option(help="How many cases there must be: a number, or a file with a case a line or column `case`.")
    ] = "",
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Run a few steps of each stage here; tell memory and minutes a round.")
    ] = False,
    privacy: Annotated[
        Path | None, typer.Option(help="As for `join`: TOML of the least privacy that this center guarantees.")
    ] = None,
    home: Annotated[
        Path | None,
        typer.Option(help="The center's home: noise is told beside what was spent on its patients before."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with everything.")] = False,
) -> None:
    """Read every case and tell all that is wrong, graded: an error leaves its case out, a warning or note does not.

    Exit code 0: the cases can be used, and the study has what it needs. 1: no case can be used, a requirement of the
    study is not met, or fewer cases than --expected. 2: an option that cannot be.
    """
    part, own = read_study_part(study) if study else None, read_own_privacy(privacy) if privacy else None
    if estimate and part is None:
        raise typer.BadParameter("--estimate needs --study, which says what a round is")
    if home and not home.is_dir():
        # Not as an option's error: its frame would cut the path at the width of the terminal.
        typer.echo(f"--home {home} is no folder; give the home that `concilium-center join` made", err=True)
        raise typer.Exit(2)
    offered = modalities_in(modalities) if modalities else ()
    with exit_on_signals():
        with show_cases() as progress:
            result = examine(data, offered, part, center, minimum_cases, expected, own, home, progress=progress)
        if estimate and part and not result.hindrances:
            with Console(stderr=True).status("running a few steps of each stage"):
                result = add_estimates(result, part)
    show = print_json if as_json else print_text
    show(result, _targets(part.settings if part else None))
    if result.hindrances:
        raise typer.Exit(1)


def examine(
    data: Path,
    offered: Collection[Modality],
    part: StudyPart | None,
    center: str,
    minimum_cases: int,
    expected: str,
    own_privacy: OwnPrivacy | None = None,
    home: Path | None = None,
    *,
    progress: ScanProgress,
) -> CheckResult:
    """Everything that is found about a folder, for a study or for none; `progress` is told of each case.

    Raises:
        CaseError: what `--expected` names cannot be read.
        StudyError: the study has no such center.
    """
    name, own = center or data.resolve().name, CenterPart()
    if part:
        own = part.center(name) if center or not offered else part.centers.get(name, CenterPart())
    settings = part.settings if part else None
    modalities = tuple(offered) or (own.modalities if part else IMAGES)
    labels = settings.labels if settings else None
    manifest = scan_center(name, [data], modalities, labels, own.rows, progress=progress)
    drawn = _parts(manifest, settings) if settings else {}
    wanted = read_expected(expected) if expected else expect_folders(manifest, _converted(data))
    asked = study_issues(manifest, drawn, settings, modalities, minimum_cases) if settings else []
    if settings:
        asked += model_issues(manifest, settings)
    noise, of_privacy = examine_privacy(manifest, drawn, part, own_privacy, home) if part else (None, [])
    asked += of_privacy
    asked += expectation_issues(manifest, wanted, required=bool(expected))
    issues = tuple(dict.fromkeys([*manifest.all_issues, *asked]))
    census = count_cases(manifest, issues, drawn, settings.labels if settings else Labels(), wanted)
    return CheckResult(manifest, issues, tuple(_hindrances(manifest, asked)), census, drawn, noise=noise)


def _parts(manifest: Manifest, settings: StudySettings) -> Mapping[str, Part]:
    seed = settings.seed if settings.split.seed is None else settings.split.seed
    return parts(manifest, seed=seed, split=settings.split, tasks=settings.tasks)


def _converted(data: Path) -> Collection[str]:
    """The ids that a conversion gave, where this user may read its private folder; they name nobody."""
    from client.convert.identities import default_private, read_private

    try:
        return read_private(default_private(data)).read_origins()
    except (CaseError, OSError):
        return ()


def _hindrances(manifest: Manifest, asked: list[Issue]) -> list[Issue]:
    """What must be mended before a study begins: the center as a whole, its labels, the study's requirements."""
    found = [*(issue for issue in manifest.issues if issue.fatal), *to_mend(manifest.all_issues)]
    if not manifest.usable:
        found += [issue for issue in manifest.all_issues if issue.fatal]
    return list(dict.fromkeys([*found, *(issue for issue in asked if issue.fatal), *to_mend(asked)]))


def model_issues(manifest: Manifest, settings: StudySettings) -> list[Issue]:
    """Whether the study's model can be built at the study's crop."""
    from client.learning.assembly import study_specs

    try:
        study_specs(settings.model_dump_json())
    except (ConciliumError, ValueError) as error:
        step = "ask the coordinator: the study file does not fit its own model"
        expected = f"a network for crops of {'x'.join(map(str, settings.preprocessing.crop_zyx))} voxels"
        return [Subject(manifest.center, "", Path()).issue("model", settings.model.name, str(error), expected, step)]
    return []


def add_estimates(result: CheckResult, part: StudyPart) -> CheckResult:
    """The result with what each stage of the center takes here; a stage that cannot be measured is an issue."""
    from client.learning.round_cost import RoundWork, measure_apart

    manifest, costs, issues = result.manifest, list["RoundCost"](), list[Issue]()
    of_part = {name: tuple(case for case in manifest.usable if result.drawn.get(case.name) == name) for name in PARTS}
    offered = part.centers.get(manifest.center, CenterPart()).modalities
    for stage, task, training in part.training_at(manifest.center):
        work = RoundWork(stage, task, part.settings, training, offered, of_part["train"], of_part["validation"])
        try:
            costs.append(measure_apart(work))
        except ConciliumError as error:
            step = "ask the coordinator, or add cases that the stage can train on"
            subject = Subject(manifest.center, "", Path())
            issues.append(subject.issue("stage", stage, str(error), "a stage that trains here", step, grade="warning"))
    return result.with_estimates(costs, issues)


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
    "fusion": lambda _labels: {},
}
"""Task -> the columns of its targets, by the study's labels; those of fusion are the images, which are shown anyway."""
