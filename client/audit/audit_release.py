"""An audit that a center hands on, in its ledger for life: figures over patients who trained, without any noise.

A rule on numbers of patients and rounding are in front of it (`client.audit.outward`, `client.audit.handed_on`), and no
mechanism: nothing that was promised to a patient bounds what the file tells of him.
"""

import hashlib
from collections.abc import Collection
from pathlib import Path

from client.privacy.privacy_ledger import Bare, PrivacyLedger
from client.privacy.release import release_without_guarantee
from protocol.messages.audit import Audit, sealed_audit


def record_release(home: Path, leaving: Audit, names: Collection[str], stage: str, server_round: int) -> None:
    """Write down what a file releases, before there is one; the same file is the same release.

    Args:
        home: of the center's trainer, where its ledger is.
        leaving: what the file says.
        names: of the cases and patients that were looked at, whichever part of the split they are of.
        stage: of the version that was attacked.
        server_round: likewise.

    Raises:
        RecordsError: the ledger is not as it was written; nothing may leave then.
        StorageError: the disk refuses; likewise.
    """
    release = release_without_guarantee("audit", leaving.study, stage, server_round)
    content = hashlib.sha256(sealed_audit(leaving)).hexdigest()
    PrivacyLedger(home).record_bare([Bare(release, content, frozenset(names))])


def studies_that_promised(home: Path, names: Collection[str]) -> tuple[str, ...]:
    """The studies that promised an epsilon to any of these cases and patients.

    Raises:
        RecordsError: the ledger is not as it was written.
    """
    entries = PrivacyLedger(home).entries(names)
    return tuple(sorted({entry.release.study for entry in entries if entry.promise is not None}))
