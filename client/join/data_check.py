"""The check of a center's data: cases, what a study trains for, labels; no name of a case is in its line."""

from pathlib import Path
from typing import TYPE_CHECKING

from client.home.center_home import CenterSettings
from client.join.findings import Finding, failure, ok, skip, warning
from client.join.situation import Situation
from protocol.storage.atomic_files import write_private
from protocol.tasks import TASKS, TaskName

if TYPE_CHECKING:
    from client.data.manifest import Manifest


def check_data(situation: Situation) -> Finding:
    """Enough usable cases, with the modalities the study expects and labels that can be."""
    settings = situation.settings
    if settings is None or not settings.data:
        return failure("no data folder is known", "give --data DIR, a folder with one folder per case")
    found = (_folder_finding(folder, in_tables="ehr" in settings.modalities) for folder in settings.data)
    unusable = next(filter(None, found), None)
    manifest = None if unusable else situation.manifest
    return unusable or (_cases_finding(situation, manifest, settings) if manifest else skip("no data folder"))


def _folder_finding(folder: Path, *, in_tables: bool) -> Finding | None:
    """What is wrong with a folder as a whole; a center with EHR may have its cases in a table alone."""
    if not folder.is_dir():
        return failure(f"data folder {folder} is no folder", "correct --data, or mount the folder")
    try:
        holds_some = any(path.is_dir() for path in folder.iterdir())
    except OSError as error:
        return failure(f"data folder {folder} cannot be read ({error.strerror})", "let this user read it")
    if not holds_some and not in_tables:
        return failure(f"data folder {folder} holds no case", "put one folder per case into it, or correct --data")
    return None


def _cases_finding(situation: Situation, manifest: "Manifest", settings: CenterSettings) -> Finding:
    listed = _keep_list(situation, manifest)
    where = f"see {listed}" if listed else f"`concilium-center check --data {settings.data[0]}` lists them"
    tasks = _tasks(situation)
    usable = sum(1 for case in manifest.usable if any(case.has_target(task) for task in tasks))
    text = f"{len(manifest.cases)} case(s), {usable} usable with {' or '.join(TASKS[task].target for task in tasks)}"
    hindrance = _hindrance(situation, manifest, usable, where)
    if hindrance:
        return failure(f"{text}, {hindrance.text}", hindrance.remedy)
    rule = f"; nothing leaves that stands on fewer than {settings.minimum_cases} (--minimum-cases)"
    parts, remedy = _withheld(situation, settings.minimum_cases)
    if manifest.quarantined:
        remedies = f"{where}; {remedy}" if remedy else where
        return warning(f"{text}, {len(manifest.quarantined)} left out{rule}{parts}", remedies)
    if usable < settings.minimum_cases:
        return warning(f"{text}{rule}{parts}", "add cases, or choose a smaller number: this center would send nothing")
    return warning(f"{text}{rule}{parts}", remedy) if remedy else ok(f"{text}{rule}{parts}")


def _withheld(situation: Situation, minimum_cases: int) -> tuple[str, str]:
    """The split of the study and what of it stands on too few cases, with a remedy where anything does."""
    from client.data.requirements import more_cases
    from client.data.split_outlook import count_parts, split_words, thin_parts, withheld_words

    if situation.membership is None:
        return "", ""
    split, counts = situation.membership.agreement.settings.split, count_parts(situation.parts.values())
    thin = thin_parts(counts, split, minimum_cases)
    words = f"; split {split_words(counts)}"
    if not thin:
        return words, ""
    return f"{words}: {withheld_words(thin)} would be withheld", more_cases(split, minimum_cases)


def _hindrance(situation: Situation, manifest: "Manifest", usable: int, where: str) -> Finding | None:
    """Why the center cannot take part with these cases."""
    minimum = max(1, situation.membership.agreement.minimum_cases if situation.membership else 1)
    if situation.faults_of_labels:
        return failure(
            f"{len(situation.faults_of_labels)} fault(s) of labels that no study may begin with", f"mend them: {where}"
        )
    if usable < minimum:
        return failure(f"the study needs {minimum}", f"mend or add cases: {where}")
    expected = situation.membership.agreement.modalities if situation.membership else ()
    lacking = [name for name in expected if not any(name in case.modalities for case in manifest.usable)]
    if lacking:
        return failure(
            f"none with {' or '.join(lacking).upper()}, which the study expects here",
            "add what is missing, correct --modalities, or ask the coordinator to change the study's table of centers",
        )
    return None


def _tasks(situation: Situation) -> tuple[TaskName, ...]:
    """What the study trains for; segmentation where no study is known."""
    return situation.membership.agreement.settings.tasks if situation.membership else ("segmentation",)


def _keep_list(situation: Situation, manifest: "Manifest") -> Path | None:
    """Every issue, errors first, in a file that stays at the center; None where the home is not made yet."""
    from client.data.checks import GRADES

    issues = list(dict.fromkeys([*manifest.all_issues, *situation.faults_of_labels]))
    if not situation.home.trainer.is_dir() or not issues:
        return None
    path = situation.home.trainer / "data-check.txt"
    graded = sorted(issues, key=lambda issue: GRADES.index(issue.grade))
    write_private(path, "".join(f"{issue.grade}: {issue.message}\n" for issue in graded).encode())
    return path
