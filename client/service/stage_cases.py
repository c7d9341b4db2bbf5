"""The cases of a stage: those that a center registered with, until it registers again at the next one.

All rounds of a stage are of the same cases, also where the trainer starts anew in between. A case that came since waits
for the next stage. One that is gone, or cannot be read any more, takes part in nothing from then on, since a hospital
that takes a case away wants it out at once; its name goes into this center's log, their number to the coordinator. One
that changed is what it is now: its prepared arrays are found by the content of its files.

    {"study": name, "cases": [name of a case], "seal": SHA-256}

A file that is damaged says nothing: all cases at hand take part, as before a first registration.
"""

import logging
from dataclasses import replace
from pathlib import Path

from client.data.manifest import Manifest
from protocol.storage.atomic_files import write_private
from protocol.storage.regular_files import read_regular
from protocol.storage.sealed_json import seal, unseal

logger = logging.getLogger(__name__)

FILE = "stage-cases.json"
MAXIMUM_BYTES = 256 * 1024**2


class StageCases:
    """What is fixed at one center.

    Args:
        home: where it is kept.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / FILE
        self._fixed = _read(self._path)
        self._told = frozenset[str]()

    def fix(self, study: str, manifest: Manifest) -> None:
        """Let a study's next rounds be of the cases that can be used now.

        Raises:
            StorageError: the disk refuses; the earlier ones stand.
        """
        names = frozenset(case.name for case in manifest.usable)
        if self._fixed != (study, names):
            write_private(self._path, seal({"study": study, "cases": sorted(names)}))
        self._fixed, self._told = (study, names), frozenset()

    def within(self, study: str, manifest: Manifest) -> Manifest:
        """A manifest without the cases that came since; all of it where nothing is fixed for the study."""
        fixed = self._names(study)
        if fixed is None or all(case.name in fixed for case in manifest.usable):
            return manifest
        return replace(manifest, cases=tuple(case for case in manifest.cases if not case.usable or case.name in fixed))

    def count_missing(self, study: str, manifest: Manifest) -> int:
        """How many of the cases that were fixed cannot be used any more; the log names each, once."""
        missing = (self._names(study) or frozenset()) - {case.name for case in manifest.usable}
        refused = {case.name: case for case in manifest.quarantined}
        for name in sorted(missing - self._told):
            fatal = [issue.message for issue in refused[name].issues if issue.fatal] if name in refused else []
            why = "; ".join(fatal) or "it is not in the data folders any more"
            logger.warning(
                "case '%s' takes part in nothing from now on, though this center registered it: %s", name, why
            )
        self._told = missing
        return len(missing)

    def _names(self, study: str) -> frozenset[str] | None:
        return self._fixed[1] if self._fixed is not None and self._fixed[0] == study else None


def _read(path: Path) -> tuple[str, frozenset[str]] | None:
    try:
        found = unseal(read_regular(path, MAXIMUM_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning("%s cannot be read (%s); until the next stage all cases at hand take part", path, error)
        return None
    return str(found["study"]), frozenset(found["cases"])
