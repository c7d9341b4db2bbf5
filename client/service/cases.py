"""A center's own cases: what is in its folders, the part of the split each belongs to, and the prepared arrays."""

import logging
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

from client.data.census import PARTS
from client.data.checks import Grade
from client.data.label_checks import raise_if_mislabelled, raise_if_unlearnable
from client.data.labelled_cases import NO_ROWS, Rows
from client.data.manifest import Manifest, raise_if_unusable
from client.data.manifest_file import write_manifest
from client.data.preprocessing import SEGMENTATION, PreparedCase, prepare_once
from client.data.scan import Folder, join_labels, scan_folders
from client.data.split_file import draw_parts_once, fixed_parts
from client.data.targets import add_labels
from client.learning.cancellation import Check
from client.service.preparation import Job, prepare_missing
from client.service.stage_cases import StageCases
from client.service.work_limits import NO_END, case_findings, refuse
from protocol.messages.instruction import Part
from protocol.messages.labels import Labels
from protocol.messages.settings import Preprocessing, StudySettings
from protocol.modalities import IMAGES, Modality

logger = logging.getLogger(__name__)

PREPARED_CASES, KNOWN_SCHEMAS = 64, 4
Listing = tuple[tuple[str, int, int], ...]
LEVELS: Mapping[Grade, int] = {"error": logging.ERROR, "warning": logging.WARNING, "note": logging.INFO}


class Cases:
    """The cases of one center; its folders are scanned once until they change, its tables once for each schema.

    Args:
        center: its name.
        folders: its data folders, each with one folder per case.
        modalities: what it offers; files of other modalities are ignored.
        home: where it keeps manifest, splits and cache.
        rows: its own rows of a table that several centers share: column -> value.
        memory: bytes that prepared cases may take.
    """

    def __init__(
        self,
        center: str,
        folders: Sequence[Path],
        modalities: Sequence[Modality],
        home: Path,
        rows: Rows = NO_ROWS,
        memory: int = NO_END,
    ) -> None:
        self._center, self._folders, self._modalities, self._home = center, folders, modalities, home
        self._rows, self._memory = rows, memory
        self._scanned: Listing | None = None
        self._of_stage = StageCases(home)
        self._cache = home / "cache"
        self._scan = cache(self._scan_images)
        self._joined = lru_cache(maxsize=KNOWN_SCHEMAS)(self._join)
        self._prepared = lru_cache(maxsize=PREPARED_CASES)(self._prepare)

    def check_images(self) -> None:
        """Read every image, as far as the center offers some, before anything is asked.

        Raises:
            CaseError: the center offers images and none can be used.
        """
        if set(self._modalities) & set(IMAGES):
            self._joined(Labels().model_dump_json())

    def refresh(self) -> bool:
        """Scan the folders again if a file in them came, went or changed since they were scanned; whether one did.

        For the beginning of a stage: cases that came since, such as corrected contours, belong to it.
        """
        return self._scanned not in (None, _list_files(self._folders)) and self._forget()

    def refresh_known(self) -> bool:
        """Scan again if a file that was scanned went or changed; whether one did. What came waits for `refresh`."""
        known = self._scanned
        return known is not None and not set(known) <= set(_list_files(self._folders)) and self._forget()

    def fix(self, settings: StudySettings) -> dict[str, int]:
        """Let the rounds until the next call be of the cases that can be used now; counts of them, as facts.

        Raises:
            CaseError, LabelError: as `split`.
            StorageError: the disk refuses.
        """
        manifest = self._joined(settings.labels.model_dump_json())
        self._of_stage.fix(settings.study, manifest)
        parts = list(self.split(settings).values())
        counts = {f"{part}_cases": parts.count(part) for part in PARTS}
        return {**counts, "cases": len(manifest.usable), "refused_cases": len(manifest.quarantined)}

    def count_missing(self, settings: StudySettings) -> int:
        """How many cases that were fixed are gone or cannot be used any more; the log names them.

        Raises:
            CaseError, LabelError: as `manifest`.
        """
        return self._of_stage.count_missing(settings.study, self._joined(settings.labels.model_dump_json()))

    def _forget(self) -> bool:
        logger.info("the data folders changed; they are scanned again")
        for kept in (self._scan, self._joined, self._prepared):
            kept.cache_clear()
        return True

    def manifest(self, settings: StudySettings) -> Manifest:
        """What is in the center's folders, with the labels that a study asks for; of a stage, its cases alone.

        Raises:
            CaseError: no case can be used.
            LabelError: the table says what cannot be.
        """
        return self._of_stage.within(settings.study, self._joined(settings.labels.model_dump_json()))

    def split(self, settings: StudySettings) -> Mapping[str, Part]:
        """Case name -> its part, fixed when it was first asked for.

        Raises:
            CaseError: no case can be used.
            LabelError: the table says what cannot be, or the training cases do not suffice to learn a task; nothing is
                fixed then.
        """
        manifest = self.manifest(settings)
        raise_if_unlearnable(manifest, fixed_parts(manifest, settings, self._home), settings)
        return draw_parts_once(manifest, settings, self._home)

    def part(self, settings: StudySettings, part: Part, check: Check) -> list[PreparedCase]:
        """The prepared cases of a part, in name order; `check` is called before each.

        Raises:
            ExcessiveError: the study's grid has more voxels of them than memory has room for.
        """
        found = []
        cases = {case.name: case for case in self.manifest(settings).usable}
        names = sorted(name for name, of_part in self.split(settings).items() if of_part == part)
        jobs = [Job(cases[name], settings.preprocessing, self._cache) for name in names if cases[name].paths]
        asked = f"the {part} part of study '{settings.study}'"
        refuse(
            list(case_findings([job.case for job in jobs], settings.preprocessing, self._memory)), self._center, asked
        )
        prepare_missing(jobs, check)
        for name in names:
            check()
            images = self._prepared(settings.preprocessing, name) if cases[name].paths else PreparedCase(name)
            found.append(add_labels(images, cases[name].labels))
        return found

    def _scan_images(self) -> tuple[Folder, ...]:
        self._scanned = _list_files(self._folders)
        return scan_folders(self._center, self._folders, self._modalities)

    def _join(self, schema: str) -> Manifest:
        labels = Labels.model_validate_json(schema)
        manifest = join_labels(self._center, self._scan(), self._modalities, labels, self._rows)
        write_manifest(manifest, self._home / "manifest.json")
        raise_if_mislabelled(manifest)
        raise_if_unusable(manifest)
        for issue in manifest.all_issues:
            logger.log(LEVELS[issue.grade], "%s", issue.message)
        return manifest

    def _prepare(self, settings: Preprocessing, name: str) -> PreparedCase:
        found = next(case for folder in self._scan() for case in folder.cases if case.name == name)
        case = prepare_once(name, found.paths, found.checksums, settings, self._cache)
        mask = case.targets.get(SEGMENTATION)
        if mask is not None and not mask.any():
            logger.warning(
                "case '%s': no voxel of its contour is left on a grid of %s mm", name, settings.spacing_zyx_mm
            )
        return case


def _list_files(folders: Sequence[Path]) -> Listing:
    """Path, size and time of change (ns) of each file in the folders and their cases, and of a table beside them."""
    found = {
        path for folder in folders for path in (*folder.glob("*"), *folder.glob("*/*"), *folder.parent.glob("*.csv"))
    }
    files = ((str(path), path.stat()) for path in sorted(found) if path.is_file() and not path.name.startswith("."))
    return tuple((path, found.st_size, found.st_mtime_ns) for path, found in files)
