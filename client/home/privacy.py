"""What a center keeps is for one account: an older home, or a folder that was made wider, is closed at start."""

import logging
import os
import stat
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

logger = logging.getLogger(__name__)

OTHERS = 0o077
OURS = (
    *("activity.json", "alone", "benefits.json", "calibration.json"),
    *("agreement.json", "backbones", "cache", "cohorts.json", "data-check.txt", "draws.*", "manifest.json", "outbox"),
    *(
        "cases.key",
        "handed-on",
        "outgoing.*",
        "predictions",
        "privacy.*",
        "queries*",
        "report.html",
        "scores.json",
        "split-*.json",
        "trainer.log",
        "node.log",
    ),
    *("center.toml", "node", "trainer", "run", "*.answer"),
)
"""What lies at the top of a home, a center's or a trainer's."""


def close_to_others(home: Path) -> int:
    """Take from everybody but the owner what a home holds, and say so; returns how many files and folders were open.

    A folder that is no home yet, with files of somebody in it, stays as it is, and that is said: perhaps it was named
    by mistake. What links lead to is left alone.
    """
    entries = sorted(home.iterdir())
    own = [entry for entry in entries if any(fnmatch(entry.name, pattern) for pattern in OURS)]
    if entries and not own:
        if _is_open(home):
            logger.warning("%s can be read by other accounts: chmod go= %s, or give another --home", home, home)
        return 0
    closed = sum(_close(path) for path in (home, *own, *_below(own)))
    if closed:
        logger.warning(
            "%d files and folders of %s could be read or written by other accounts of this machine, and were closed to "
            "them; what they hold stems from patients: find out whether somebody looked",
            closed,
            home,
        )
    return closed


def _below(folders: list[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_dir() and not folder.is_symlink():
            for root, names, files in os.walk(folder):
                yield from (Path(root, name) for name in (*names, *files))


def _close(path: Path) -> bool:
    """Whether a file or folder was open and is closed now; a file system without modes is nothing to stop at."""
    if not _is_open(path):
        return False
    try:
        path.chmod(path.stat().st_mode & ~OTHERS & 0o7777)
    except OSError as error:
        logger.warning("%s can be read by other accounts, and cannot be closed to them (%s)", path, error.strerror)
        return False
    return True


def _is_open(path: Path) -> bool:
    found = path.lstat().st_mode
    return bool(found & OTHERS) and (stat.S_ISREG(found) or stat.S_ISDIR(found))
