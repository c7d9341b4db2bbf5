"""What a center's own page is made of: a section for each task, with the template that shows it.

Every cohort has figures, so one section serves all tasks that answer for cohorts. What a task says of a case is its
own, and so is the section of a task whose metrics are of cases.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from client.audit.audit_log import AUDITS, read_audits
from client.data.manifest import Manifest
from client.report.audit_section import audit_section
from client.report.benefit_section import benefit_section
from client.report.calibration_section import calibration_section
from client.report.cohort_sections import cohort_sections
from client.report.fusion_section import fusion_section
from client.report.mask_section import mask_section
from client.report.task_rows import CaseRow, read_cohorts
from client.scores.calibration_rows import CALIBRATION, read_calibration
from client.scores.score_log import BENEFITS
from protocol.tasks import TaskName


class Section(Protocol):
    """One task as the page shows it."""

    @property
    def template(self) -> str:
        """The file that shows it, as `section`, among what the page knows."""


MakeSection = Callable[[Path, Manifest, Sequence[CaseRow], Sequence[str]], Section]
"""From the center's home, its cases, what `scores.json` says of the task, and the stages."""

SECTIONS: Mapping[TaskName, MakeSection] = {"segmentation": mask_section, "fusion": fusion_section}
"""Who makes the section of a task whose metrics are of cases; before any score the first says that there is none."""


def page_sections(
    home: Path, manifest: Manifest, rows: Mapping[TaskName, Sequence[CaseRow]], stages: Sequence[str]
) -> list[Section]:
    """A section for each task with scored cases, those of cases first; before any score one says so.

    In front stands what federation brought, where a study asks; behind those of cases how sure masks are, at the end
    what adapters give away, where that was found.

    Args:
        home: of the center.
        manifest: of its cases.
        rows: of `scores.json`, by task.
        stages: in the order of the study.

    Raises:
        CaseError: benefits.json, cohorts.json, calibration.json or audits.json is broken.
    """
    shown = [name for name in SECTIONS if name in rows] if rows else list(SECTIONS)[:1]
    of_cases = [SECTIONS[name](home, manifest, rows.get(name, ()), stages) for name in shown]
    sure = calibration_section(read_calibration(home / CALIBRATION), stages)
    cohorts = cohort_sections(home, read_cohorts(home / "cohorts.json"), rows, stages)
    brought = benefit_section(home / BENEFITS)
    return [*brought, *of_cases, *sure, *cohorts, *audit_section(read_audits(home / AUDITS))]
