"""A center that withdrew, in MLflow: what holds its curves or its tensors is marked, and `champion` leaves it.

    withdrawn/CENTER                when it withdrew
    withdrawn_certificate/CENTER    SHA-256 of the certificate

Marked are the center's run, the study's, and that of the shared adapter where a version of it holds what the center
sent; and the registered versions that the bank has a tombstone of for that center. Nothing is deleted: a version that
is pulled by number is still there, with its files.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from protocol.errors import StorageError
from server.study.audit_log import read_events
from server.study.directory import StudyDirectory
from server.tracking.lines import SHARED_RUN, STUDY_RUN, center_run
from server.tracking.models import CHAMPION, identity_of, model_name
from server.tracking.store import ModelVersion, Store
from server.tracking.tracker import DATABASE, store_of
from strategies.bank.bank import SHARED, AdapterBank
from strategies.bank.entry import Entry
from strategies.bank.settings_file import SETTINGS_FILE

logger = logging.getLogger(__name__)

NO_STORE = (
    "The study's directory has no MLflow store. On an MLflow server `concilium track {root} --server ADDRESS` marks "
    "what is there."
)
MARKED = (
    "In the study's own MLflow store these are marked as withdrawn, and stay; on a server `concilium track {root} "
    "--server ADDRESS` marks them too."
)
NOT_MARKED = "The study's own MLflow store could not be marked: {why}. `concilium track {root}` does it later."


@dataclass(frozen=True)
class Marked:
    """What was marked, in words, and by name: runs, and registered versions with the bank's reference."""

    told: str
    names: tuple[str, ...] = ()


def date_tag(center: str, issued_at: str) -> dict[str, str]:
    """The mark that says when a center withdrew."""
    return {f"withdrawn/{center}": issued_at}


def certificate_tag(center: str, sha256: str) -> dict[str, str]:
    """The mark that says which certificate a withdrawal has."""
    return {f"withdrawn_certificate/{center}": sha256}


def mark_own_store(
    directory: StudyDirectory, study: str, run_ids: Mapping[str, str], center: str, tags: Mapping[str, str]
) -> Marked:
    """Mark a withdrawal in the store of the study's directory; none is made, and one that refuses stops nothing.

    Args:
        directory: of the study, whose bank has its tombstones.
        study: its name.
        run_ids: of its tracker, as the checkpoint keeps them.
        center: who withdrew.
        tags: `date_tag`, `certificate_tag`, or both.
    """
    root = directory.root
    if not (root / DATABASE).exists():
        return Marked(NO_STORE.format(root=root))
    try:
        return Marked(MARKED.format(root=root), mark(store_of(root, None), directory, study, run_ids, center, tags))
    except StorageError as error:
        found = Marked(NOT_MARKED.format(why=error, root=root))
        logger.warning("%s", found.told)
        return found


def mark_all(store: Store, directory: StudyDirectory, study: str, run_ids: Mapping[str, str]) -> None:
    """Mark every withdrawal that the audit log tells of, in whatever store.

    Raises:
        StorageError: the store refuses.
    """
    for event in read_events(directory.audit):
        if event.event == "withdrawn":
            center = str(event.facts["center"])
            tags = date_tag(center, event.time) | certificate_tag(center, str(event.facts["sha256"]))
            mark(store, directory, study, run_ids, center, tags)


def mark(
    store: Store,
    directory: StudyDirectory,
    study: str,
    run_ids: Mapping[str, str],
    center: str,
    tags: Mapping[str, str],
) -> tuple[str, ...]:
    """Mark what a store has of a center that withdrew; the names of what it marked.

    Raises:
        StorageError: the store refuses.
        BankError: the bank is damaged.
    """
    bank = AdapterBank(directory.bank) if (directory.bank / SETTINGS_FILE).exists() else None
    gone = [] if bank is None else [entry for entry in bank.entries() if _is_gone(bank, entry, center)]
    runs = [center_run(center), *([SHARED_RUN] if any(entry.name == SHARED for entry in gone) else []), STUDY_RUN]
    named = [name for name in runs if name in run_ids and store.has_run(run_ids[name])]
    for name in named:
        store.log(run_ids[name], {}, tags)
    models = {model_name(study, entry.name): entry.name for entry in gone}
    versions = [] if bank is None else [_mark_model(store, bank, *model, gone, tags) for model in models.items()]
    return (*(f"run {name}" for name in named), *(name for found in versions for name in found))


def _is_gone(bank: AdapterBank, entry: Entry, center: str) -> bool:
    tombstone = bank.tombstone(entry)
    return tombstone is not None and tombstone.center == center


def _mark_model(
    store: Store, bank: AdapterBank, model: str, name: str, gone: list[Entry], tags: Mapping[str, str]
) -> list[str]:
    """Mark the versions of one model, and point `champion` at the version in use, or at none."""
    versions = store.versions(model)
    marked = [found for found in versions if _identity(found) in {identity_of(entry) for entry in gone}]
    for found in marked:
        store.tag_version(model, found.number, tags)
    if marked and store.model(model, {}).get(CHAMPION) in {found.number for found in marked}:
        _move_champion(store, bank, model, name, versions)
    return [f"version {found.number} of {model} ({found.tags['bank']})" for found in sorted(marked, key=_number)]


def _move_champion(store: Store, bank: AdapterBank, model: str, name: str, versions: list[ModelVersion]) -> None:
    head = bank.head(name)
    in_use = _numbers_of(versions, head) if bank.tombstone(head) is None else iter(())
    if number := next(in_use, ""):
        store.alias(model, CHAMPION, number)
    else:
        store.drop_alias(model, CHAMPION)


def _numbers_of(versions: list[ModelVersion], entry: Entry) -> Iterator[str]:
    return (found.number for found in versions if _identity(found) == identity_of(entry))


def _identity(version: ModelVersion) -> tuple[str, str]:
    return version.tags.get("bank", ""), version.tags.get("sha256", "")


def _number(version: ModelVersion) -> int:
    return int(version.number)
