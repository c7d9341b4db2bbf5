"""`concilium withdraw`: a center leaves a study for good, in steps that can be given again after a kill.

1. `withdrawing`, with what its updates entered, goes to the audit log
2. the center is revoked where it is enrolled
3. the bank: HEAD of the shared adapter, tombstones, then backbones that it trained and nobody's version stands on
4. the directory of a replay
5. router, inbox and checkpoints
6. MLflow's runs and registered versions, as far as the study's own store has them, are marked
7. the certificate, its hash beside those marks; `withdrawn`, and the authority's signature over the log
"""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from protocol.errors import EnrolmentError, StudyError, WithdrawalError
from server.audit.authority_copy import sign_and_copy
from server.centers.enrolment import Enrolment, refuse_other_user
from server.centers.federation_init import open_own_authority
from server.results.result import read_result, with_withdrawals, write_result
from server.study.audit_log import AuditLog, read_events
from server.study.checkpoint import load
from server.study.coordinator_settings import read_coordinator
from server.study.directory import StudyDirectory
from server.study.file import Study, read_study
from server.study.lock import hold_study
from server.study.withdrawn import Withdrawn, read_withdrawn
from server.superlink.link import Link
from server.tls.authority import AskPassphrase, Authority, refuse_encrypted, utc_now
from server.tracking.marking import Marked, certificate_tag, date_tag, mark_own_store
from server.withdrawal.backbones import PartedBackbones, parted_backbones, remove_backbones
from server.withdrawal.certificate import (
    PRIVATE_REPLAY,
    Certificate,
    Statement,
    Version,
    certificate_bytes,
    issue,
    not_promised,
    write_certificate,
)
from server.withdrawal.lineage import Lineage, Parted, lineage_of, part_entries
from server.withdrawal.removal import remove_versions, state_before, take_state_back
from server.withdrawal.replay import Replay, write_replay
from strategies.bank.bank import AdapterBank
from strategies.bank.entry import Entry
from strategies.bank.told import Tell, digest

Connect = Callable[[], AbstractContextManager[Link]]


def plan_withdrawal(directory: StudyDirectory, center: str) -> tuple[Lineage, Parted]:
    """What a withdrawal would do: what the center's updates entered, and what becomes of each version of the bank.

    Raises:
        StudyError: there is no study.
        WithdrawalError: the study has no such center, it has withdrawn already, or the study has not begun.
        StorageError: the checkpoint is damaged.
        BankError: the bank is damaged.
    """
    study = read_study(directory.study_file)
    if center not in study.centers:
        raise WithdrawalError(f"study '{study.name}' has no center '{center}'; it names {sorted(study.centers)}")
    certificate, events = directory.withdrawals / f"{center}.json", read_events(directory.audit)
    of_center = [found for found in events if found.facts.get("center") == center]
    issued = [found.facts["sha256"] for found in of_center if found.event == "withdrawn"]
    if issued and certificate.exists() and digest(certificate.read_bytes()) == issued[-1]:
        raise WithdrawalError(f"center '{center}' has withdrawn already; see {certificate}")
    state = load(directory.checkpoint)
    if state is None:
        raise WithdrawalError(f"study '{study.name}' has not begun; `concilium revoke {center}` is all there is to do")
    begun = [found for found in of_center if found.event == "withdrawing"]
    lineage = _lineage_of_event(center, begun[-1].facts) if begun else lineage_of(center, study, state, events)
    return lineage, part_entries(lineage, study, _entries_to_part(AdapterBank(directory.bank), center))


def _entries_to_part(bank: AdapterBank, center: str) -> list[Entry]:
    """The versions of a bank without those that went with another center."""
    entries = [(entry, bank.tombstone(entry)) for entry in bank.entries()]
    return [entry for entry, tombstone in entries if tombstone is None or tombstone.center == center]


def withdraw(
    directory: StudyDirectory,
    center: str,
    *,
    connect: Connect,
    ask: AskPassphrase = refuse_encrypted,
    destination: Path | None = None,
) -> Certificate:
    """Withdraw a center from a study that nothing runs.

    Args:
        directory: of the study.
        center: who withdraws.
        connect: gives the SuperLink, where the study has one.
        ask: gives the passphrase of the authority's key, where it has one.
        destination: the directory of the replay; beside the study's where none is given.

    Raises:
        ConciliumError: as `plan_withdrawal`; a process runs the study; or the disk refuses a step, after which the
            command can be given again.
    """
    if directory.coordinator.exists():
        refuse_other_user(directory)
    with hold_study(directory.lock, patience_s=0):
        study, log = read_study(directory.study_file), AuditLog(directory.audit)
        lineage, parted = plan_withdrawal(directory, center)
        log.record_new({"withdrawing": [_event_of(lineage)]})
        revoked = _revoke(directory, center, connect)
        bank, backbones = AdapterBank(directory.bank, log.record), parted_backbones(directory, lineage, parted)
        remove_versions(bank, lineage, parted)
        remove_backbones(directory, bank, lineage, backbones)
        replay, reason = _replay(directory, study, lineage, destination)
        state = load(directory.checkpoint)
        if state is not None:
            take_state_back(directory, lineage, state, study, log.record)
        issued_at, run_ids = utc_now().isoformat(timespec="seconds"), {} if state is None else state.tracking
        mark = partial(mark_own_store, directory, study.name, run_ids, center)
        authority, marked = _authority_at_hand(directory, ask), mark(date_tag(center, issued_at))
        statement = _statement(study, lineage, parted, backbones, revoked, replay, reason, issued_at, marked)
        certificate = issue(statement, authority)
        _mark_result(directory, statement, log.record)
        _certify(directory, log, certificate, mark)
        if authority is not None:
            sign_and_copy(directory, authority)
    return certificate


def _certify(
    directory: StudyDirectory, log: AuditLog, certificate: Certificate, mark: Callable[[Mapping[str, str]], Marked]
) -> None:
    """Announce a certificate, put its hash beside the marks, then write it: without it the command is given again."""
    center = certificate.statement.center
    path, sha256 = directory.withdrawals / f"{center}.json", digest(certificate_bytes(certificate))
    log.record("withdrawn", {"center": center, "certificate": path.name, "sha256": sha256})
    mark(certificate_tag(center, sha256))
    write_certificate(path, certificate)


def _mark_result(directory: StudyDirectory, told: Statement, tell: Tell) -> None:
    """Say in the study's result who withdrew."""
    result = read_result(directory.result)
    if result is not None:
        others = [found for found in read_withdrawn(directory) if found.center != told.center]
        new = Withdrawn(told.center, told.first_stage, told.in_use, told.replay)
        write_result(directory.result, with_withdrawals(result, [*others, new]), tell)


def _revoke(directory: StudyDirectory, center: str, connect: Connect) -> str:
    """End the center's membership where it has one; gives what was done, in words."""
    if not directory.coordinator.exists():
        return "The study was simulated; there was no membership to end."
    enrolment = Enrolment(directory)
    member = enrolment.registry.members.get(center)
    if member is None:
        return "It was never invited."
    if member.state == "revoked":
        return "Its membership had been revoked before."
    try:
        with connect() as link:
            enrolment.revoke(center, link)
    except EnrolmentError as error:
        if enrolment.registry.member(center).state != "revoked":
            raise
        return f"It is revoked; the SuperLink learns it at the next launch or by the watchdog ({error})."
    return "It is revoked: its key is turned away."


def _replay(
    directory: StudyDirectory, study: Study, lineage: Lineage, destination: Path | None
) -> tuple[Replay | None, str]:
    """The directory of a replay, or why there is none; and what one costs where patients were promised something."""
    if lineage.first_stage is None:
        return None, "No stage has to be trained again."
    others = [found for found in read_withdrawn(directory) if found.first_stage and found.center != lineage.center]
    if others:
        return None, f"Since '{others[0].center}' withdrew the study goes on in {others[0].replay}: withdraw there too."
    root = directory.root.resolve()
    try:
        where = destination or root.with_name(f"{root.name}.without-{lineage.center}")
        made = write_replay(directory, lineage.center, state_before(directory, lineage), where)
    except WithdrawalError as error:
        return None, f"The later stages cannot be trained again: {error}"
    return made, PRIVATE_REPLAY if study.privacy else ""


def _authority_at_hand(directory: StudyDirectory, ask: AskPassphrase) -> Authority | None:
    """The study's authority, where there is one and its key is here."""
    if not directory.coordinator.exists():
        return None
    try:
        return open_own_authority(directory, read_coordinator(directory.coordinator), ask)
    except (EnrolmentError, StudyError):
        return None


def _statement(
    study: Study,
    lineage: Lineage,
    parted: Parted,
    backbones: PartedBackbones,
    revoked: str,
    replay: Replay | None,
    reason: str,
    issued_at: str,
    marked: Marked,
) -> Statement:
    first = lineage.first_stage
    in_use = parted.kept[-1] if parted.kept else None
    return Statement(
        study=study.name,
        center=lineage.center,
        issued_at=issued_at,
        revoked=revoked,
        first_stage="" if first is None else study.stages[first].name,
        rounds=lineage.rounds,
        removed=_versions([*parted.own, *parted.shared]),
        in_use="" if in_use is None else in_use.reference,
        in_use_sha256="" if in_use is None else in_use.sha256,
        replay="" if replay is None else str(replay.root),
        replayed_stages=() if replay is None else replay.stages,
        replay_reason=reason,
        influenced=_versions(parted.influenced),
        tracking=marked.told,
        marked=marked.names,
        not_promised=(*not_promised(study.name, lineage.center), *_not_promised_in_private(study, lineage)),
        removed_backbones=backbones.gone,
        influenced_backbones=backbones.stay,
    )


def _not_promised_in_private(study: Study, lineage: Lineage) -> tuple[str, ...]:
    return (PRIVATE_REPLAY,) if study.privacy and lineage.first_stage is not None else ()


def _versions(entries: Iterable[Entry]) -> tuple[Version, ...]:
    return tuple(
        Version(reference=entry.reference, sha256=entry.sha256, stage=entry.stage, server_round=entry.server_round)
        for entry in entries
    )


def _event_of(lineage: Lineage) -> dict[str, object]:
    return {"center": lineage.center, "first_stage": lineage.first_stage, "rounds": list(lineage.rounds)}


def _lineage_of_event(center: str, facts: Mapping[str, Any]) -> Lineage:
    return Lineage(center, facts["first_stage"], tuple(facts["rounds"]))
