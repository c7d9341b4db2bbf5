"""A center's own cases: what is in its folders, the part of the split each belongs to, and the prepared arrays."""

import logging
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

from client.data.manifest import Manifest, Modality, raise_if_unusable, scan_center
from client.data.manifest_file import write_manifest
from client.data.preprocessing import PreparedCase, prepare_once
from client.data.split_file import draw_parts_once
from client.learning.cancellation import Check
from protocol.messages.instruction import Part
from protocol.messages.settings import Preprocessing, StudySettings

logger = logging.getLogger(__name__)

PREPARED_CASES = 64


class Cases:
    """The cases of one center; its folders are scanned once.

    Args:
        center: its name.
        folders: its data folders, each with one folder per case.
        modalities: what it offers; files of other modalities are ignored.
        home: where it keeps manifest, splits and cache.
    """

    def __init__(self, center: str, folders: Sequence[Path], modalities: Sequence[Modality], home: Path) -> None:
        self._center, self._folders, self._modalities, self._home = center, folders, modalities, home
        self.manifest = cache(self._scan)
        self._prepared = lru_cache(maxsize=PREPARED_CASES)(self._prepare)

    def split(self, settings: StudySettings) -> Mapping[str, Part]:
        """Case name -> its part, fixed when it was first asked for."""
        seed = settings.seed if settings.split.seed is None else settings.split.seed
        return draw_parts_once(self.manifest(), seed=seed, split=settings.split, folder=self._home)

    def part(self, settings: StudySettings, part: Part, check: Check) -> list[PreparedCase]:
        """The prepared cases of a part, in name order; `check` is called before each."""
        found = []
        for name in sorted(name for name, of_part in self.split(settings).items() if of_part == part):
            check()
            found.append(self._prepared(settings.preprocessing, name))
        return found

    def _scan(self) -> Manifest:
        manifest = scan_center(self._center, self._folders, self._modalities)
        self._home.mkdir(parents=True, exist_ok=True)
        write_manifest(manifest, self._home / "manifest.json")
        raise_if_unusable(manifest)
        for issue in manifest.all_issues:
            logger.warning("%s", issue.message)
        return manifest

    def _prepare(self, settings: Preprocessing, name: str) -> PreparedCase:
        found = next(case for case in self.manifest().cases if case.name == name)
        case = prepare_once(name, found.paths, found.checksums, settings, self._home / "cache")
        if case.gtv is not None and not case.gtv.any():
            logger.warning(
                "case '%s': no voxel of its contour is left on a grid of %s mm", name, settings.spacing_zyx_mm
            )
        return case
