"""What the coordinator knows of a version of its bank, read from disk: the bank, the result of the study, audits.

Nothing is asked of a center, and nothing is estimated.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.errors import StudyError
from protocol.messages.audit import Audit, read_audit
from protocol.messages.spent_privacy import SpentPrivacy, read_spent_privacy
from server.results.result import read_result, schema_issue
from server.study.directory import StudyDirectory
from server.study.withdrawn import read_withdrawn
from strategies.bank.bank import AdapterBank
from strategies.bank.entry import Entry

Table = Mapping[str, Any]


@dataclass(frozen=True)
class KnownFacts:
    """One version, and what is known about it.

    entry: the version, whose tensors and backbone were held against their hashes. lineage: it and its ancestors, oldest
    first. is_in_use: whether the bank's HEAD names it. result: `result.json`. result_sha256: of that file.
    asked_privacy: what the study asks of training, None where that is nothing. audits: what centers chose to hand on.
    spent_privacy: what centers say that they spent, likewise. withdrawn: centers that withdrew from the study.
    """

    entry: Entry
    lineage: tuple[Entry, ...]
    is_in_use: bool
    result: Table
    result_sha256: str
    asked_privacy: Table | None
    audits: tuple[Audit, ...]
    spent_privacy: tuple[SpentPrivacy, ...] = ()
    withdrawn: tuple[str, ...] = ()


def read_facts(
    root: Path, name: str, version: int | None, audits: Sequence[Path] = (), spent: Sequence[Path] = ()
) -> KnownFacts:
    """The facts about a version; the one in use where none is given.

    Args:
        root: directory of the study, with `bank` and `result.json`.
        name: of the adapter.
        version: of it.
        audits: files of centers.
        spent: files of centers, of their privacy ledgers.

    Raises:
        BankError: the bank has no such version, or it is damaged.
        StudyError: the study has no result that this version reads, or the bank is not that of the result; a file of a
            center is of another version, study or center.
        CaseError: a file of a center cannot be read.
    """
    directory = StudyDirectory(root)
    bank = AdapterBank(directory.bank)
    entry = bank.entry(name, version)
    bank.tensors(entry)
    bank.backbone(entry.backbone)
    result = _read_result(directory.result, bank)
    found = tuple(_of_this_version(read_audit(path), path, entry) for path in audits)
    digest = hashlib.sha256(directory.result.read_bytes()).hexdigest()
    lineage = tuple(reversed(list(_ancestors(bank, entry))))
    is_in_use, asked = bank.head(name).version == entry.version, _asked_privacy(bank)
    gone = tuple(sorted({each.center for each in read_withdrawn(directory)}))
    told = _of_this_study(spent, result)
    return KnownFacts(entry, lineage, is_in_use, result, digest, asked, found, told, gone)


def _read_result(path: Path, bank: AdapterBank) -> Table:
    result = read_result(path)
    if result is None:
        raise StudyError(f"{path} is missing, and a card is made of it; finish the study, or resume it, first")
    if issue := schema_issue(result):
        raise StudyError(f"{path}: {issue}; resume the study with this version, which writes its results again")
    if result["study"] != bank.settings.study:
        raise StudyError(
            f"{path} is of study '{result['study']}', the bank beside it of '{bank.settings.study}'; give the "
            "directory of one study"
        )
    return result


def _asked_privacy(bank: AdapterBank) -> Table | None:
    privacy = bank.settings.privacy
    return None if privacy is None else privacy.model_dump(mode="json")


def _of_this_version(audit: Audit, path: Path, entry: Entry) -> Audit:
    if audit.adapter_sha256 != entry.sha256:
        raise StudyError(
            f"audit {path} is of adapter {audit.adapter_sha256[:12]} ({audit.reference}), this card is of "
            f"{entry.sha256[:12]} ({entry.reference}); give --version, or the audit of this one"
        )
    return audit


def _of_this_study(paths: Sequence[Path], result: Table) -> tuple[SpentPrivacy, ...]:
    """What each file says, held against the study and its centers."""
    told = [read_spent_privacy(path) for path in paths]
    for path, spent in zip(paths, told, strict=True):
        if spent.center not in result["centers"]:
            raise StudyError(
                f"privacy spent {path} is of center {spent.center!r}, this study's are {list(result['centers'])}; ask "
                "the center for what it prints where its trainer has run"
            )
        if result["study"] not in spent.studies:
            raise StudyError(
                f"privacy spent {path} has no entry of study '{result['study']}', it is of {list(spent.studies)}; ask "
                f"center '{spent.center}' for that of the data it trains on here"
            )
        if sum(other.center == spent.center for other in told) > 1:
            raise StudyError(f"privacy spent {path}: center '{spent.center}' has another file too; give the newest one")
    return tuple(told)


def _ancestors(bank: AdapterBank, entry: Entry) -> Iterator[Entry]:
    """The entry and what it grew from, newest first."""
    found: Entry | None = entry
    while found is not None:
        yield found
        parent = found.parent
        name, _, version = (parent or "").rpartition("/")
        found = bank.entry(name, int(version)) if parent else None
