"""Whose patients stood behind audits that a center handed on, so that no two files differ by few of them.

{"schema": 1, "key": SHA-256, "groups": [...], "seal": SHA-256}      handed-on/patients.json
cases.key                                                            handed-on/, as `client.privacy.case_hashes` says

A patient stands there as one keyed hash over the names of his cases, so that a patient who has a case more is another
one, and so is everybody whose folder was renamed. A group is one side of one attack: those who trained, or the others.
It may follow an earlier group of the same attack and side where

    max(|now - then|, |then - now|) = 0 or >= minimum_cases

The key is no key of the ledger: one that lies where a ledger belongs means that a ledger was lost.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field, ValidationError

from client.audit.pool import Scored
from client.privacy.case_hashes import digest_of, hash_names, provide_key, read_key
from client.privacy.ledger_file import cohort_digest
from protocol.errors import CaseError
from protocol.messages.audit import AttackName
from protocol.messages.base import Settings
from protocol.storage.atomic_files import write_private
from protocol.storage.regular_files import read_whole
from protocol.storage.sealed_json import seal, unseal

FOLDER, PATIENTS = "handed-on", "patients.json"
Side: TypeAlias = Literal["members", "others"]
WORDS: Mapping[Side, str] = {"members": "who trained", "others": "who did not train"}


class _Group(Settings):
    attack: AttackName
    side: Side
    patients: tuple[str, ...]


class _File(Settings):
    schema_: Literal[1] = Field(default=1, alias="schema")
    key: str
    groups: tuple[_Group, ...] = ()


def record_handed_on(home: Path, center: str, scored: Mapping[AttackName, Scored], minimum_cases: int) -> None:
    """Write down the patients behind a file before it leaves.

    Args:
        home: of the center's trainer, where its audits are.
        center: for errors.
        scored: of each attack in the file, whom it has a score of.
        minimum_cases: fewest patients by whom two files may differ.

    Raises:
        CaseError: the file may not leave beside an earlier one, or what was kept of those cannot be read.
        StorageError: the disk refuses.
    """
    folder = home / FOLDER
    kept, key = _read(folder)
    groups = [group for name, each in scored.items() for group in _groups(key, name, each)]
    if told := _too_near(kept.groups, groups, minimum_cases):
        raise CaseError(
            f"center '{center}': --out would tell of single patients beside a file handed on before: {told}, expected "
            f"none or at least {minimum_cases}. No file was written; the figures are kept for the center's own page. "
            "Hand on again when more patients have come"
        )
    new = tuple(group for group in groups if group not in kept.groups)
    content = kept.model_copy(update={"groups": (*kept.groups, *new)})
    write_private(folder / PATIENTS, seal(content.model_dump(mode="json", by_alias=True)))


def _groups(key: bytes, attack: AttackName, scored: Scored) -> tuple[_Group, _Group]:
    sides: tuple[tuple[Side, Sequence[Sequence[str]]], ...] = (("members", scored.members), ("others", scored.others))
    first, second = (
        _Group(attack=attack, side=side, patients=tuple(sorted(cohort_digest(hash_names(key, each)) for each in cases)))
        for side, cases in sides
    )
    return first, second


def _too_near(earlier: Sequence[_Group], groups: Sequence[_Group], minimum_cases: int) -> str:
    """The first group that may not follow an earlier one, in words; "" where each may."""
    for group in groups:
        for before in (each for each in earlier if (each.attack, each.side) == (group.attack, group.side)):
            now, then = set(group.patients), set(before.patients)
            differing = max(len(now - then), len(then - now))
            if 0 < differing < minimum_cases:
                return f"{differing} patient(s) {WORDS[group.side]} differ under {group.attack}"
    return ""


def _read(folder: Path) -> tuple[_File, bytes]:
    path = folder / PATIENTS
    if not path.exists():
        key = provide_key(folder)
        return _File(key=digest_of(key)), key
    try:
        found, kept = _File.model_validate(unseal(read_whole(path))), read_key(folder)
    except (OSError, ValueError, TypeError, ValidationError) as error:
        raise CaseError(
            f"{path} cannot be read ({error}): without it nobody knows whose patients audits were handed on of, and "
            "--out writes nothing. Put it back from a backup of the home"
        ) from error
    if kept is None or digest_of(kept) != found.key:
        raise CaseError(
            f"{folder} has {'another' if kept else 'no'} key than {path} was written with: the same patients are not "
            "found again, and --out writes nothing. Put the folder back from a backup of the home"
        )
    return found, kept
