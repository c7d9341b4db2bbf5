"""`concilium extend`: centers and stages are added to a study that is under way or done, whose past stays as it is.

1. what the study was, study file and outputs, is kept in versions/
2. `extended`, with what is added and whose terms it changes, goes to the audit log
3. the checksums, then the study file; a run that is under way looks at it between two stages
4. the authority, where its key is at hand, signs the log

Given again after a kill, the command ends what it began.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from deploy.study.stage_findings import idle_stages, unheard_pathways
from protocol.enrolment.plan import FURTHER_STAGES
from protocol.errors import EnrolmentError, StudyError
from protocol.messages.tensors import PEFT, kind_of
from protocol.storage.atomic_files import write_text
from protocol.storage.locks import hold_lock
from server.audit.authority_copy import sign_with_authority
from server.centers.enrolment import refuse_other_user
from server.centers.registry import read_registry
from server.centers.study_plan import digest_of
from server.study.audit_log import AuditLog
from server.study.checksums import checksums_bytes, expects
from server.study.directory import STUDY, Prepared, StudyDirectory, contents_with, read_prepared, replace_study
from server.study.extension import Addition, added_stages, extend
from server.study.file import Study, read_study
from server.study.lock import StudyInUseError, hold_study
from server.study.stage import Stage
from server.study.versions import keep_version
from server.study.withdrawn import read_withdrawn, refuse_withdrawn
from server.tls.authority import AskPassphrase, refuse_encrypted
from strategies.bank.told import digest

OTHER_EXTENDS_S = 30.0


@dataclass(frozen=True)
class Extension:
    """What an addition makes of a study.

    stages, centers: those that are new. asked_anew: centers that were in the study before and have other terms now,
    each with the stages in which it sits out until it agrees. text: of the longer study file.
    """

    study: Study
    text: str
    stages: tuple[Stage, ...]
    centers: tuple[str, ...]
    asked_anew: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Extended:
    """What was done: where the version before lies, whether a run is under way, whether the authority signed."""

    extension: Extension
    kept: Path
    under_way: bool
    signed: bool


def plan_extension(directory: StudyDirectory, addition: Addition) -> Extension:
    """What an addition would make of a study; nothing is written.

    Raises:
        StudyError: there is no prepared study, it was changed by hand, or the addition does not fit it.
        WithdrawalError: a center withdrew whose updates the study had used; it goes on elsewhere.
        EnrolmentError: the registry is damaged.
    """
    refuse_withdrawn(directory)
    study = read_study(directory.study_file)
    text, new = extend(study, directory.study_file.read_text(), addition)
    if not expects(directory.root, STUDY, text.encode()):
        prepared = read_prepared(directory.root)
        if found := [*_tensor_findings(study, new, prepared), *_center_findings(directory, study, new)]:
            raise StudyError(f"study '{study.name}' cannot be extended so:\n  " + "\n  ".join(found))
    stages = added_stages(study, new)
    return Extension(
        study=new,
        text=text,
        stages=stages,
        centers=tuple(sorted(new.centers.keys() - study.centers.keys())),
        asked_anew={
            center: tuple(stage.name for stage in stages if center in stage.centers)
            for center in study.centers
            if digest_of(new, center) != digest_of(study, center)
        },
    )


def extend_study(directory: StudyDirectory, addition: Addition, *, ask: AskPassphrase = refuse_encrypted) -> Extended:
    """Extend a study; a run of it goes on with what is added after the stage under way.

    Args:
        directory: the coordinator's, or the output of a simulation.
        addition: what to add.
        ask: gives the passphrase of the authority's key, where it has one.

    Raises:
        ConciliumError: as `plan_extension`; or the disk refuses a step, after which the command can be given again.
    """
    if directory.coordinator.exists():
        refuse_other_user(directory)
    read_study(directory.study_file)  # before a lock is made where there is no study
    with ExitStack() as held:
        held.enter_context(hold_lock(directory.extension_lock, wait_s=OTHER_EXTENDS_S, otherwise=_busy))
        under_way = False
        try:
            held.enter_context(hold_study(directory.lock, patience_s=0))
        except StudyInUseError:
            under_way = True
        extension = plan_extension(directory, addition)
        kept = keep_version(directory)
        _write(directory, extension, kept)
    return Extended(extension, kept, under_way, _sign(directory, ask))


def _write(directory: StudyDirectory, extension: Extension, kept: Path) -> None:
    """The event, then the files; where checksums stand for the longer file already, the event does too."""
    root, text = directory.root, extension.text
    if expects(root, STUDY, text.encode()):
        write_text(directory.study_file, text)
        read_prepared(root)
        return
    facts = {
        "version": kept.name,
        "stages": [stage.name for stage in extension.stages],
        "centers": list(extension.centers),
        "asked_anew": {center: digest_of(extension.study, center) for center in extension.asked_anew},
        "study_sha256_before": digest(directory.study_file.read_bytes()),
        "study_sha256": digest(text.encode()),
        "files_sha256": digest(checksums_bytes(contents_with(root, text))),
    }
    AuditLog(directory.audit).record("extended", facts)
    replace_study(root, text)


def _tensor_findings(study: Study, new: Study, prepared: Prepared) -> Iterator[str]:
    """What the tensors that the study was prepared with do not have."""
    groups = frozenset(kind_of(spec.group) for spec in prepared.specs)
    yield from idle_stages(new, groups)
    yield from unheard_pathways(new, prepared.initial)
    for stage in added_stages(study, new):
        if PEFT in stage.trained and PEFT not in groups:
            yield (
                f"stage '{stage.name}' trains '{PEFT}', and the study was prepared without adapters, since no stage of "
                "it trained any; give the stage other groups, or make a study of its own"
            )


def _center_findings(directory: StudyDirectory, study: Study, new: Study) -> Iterator[str]:
    """Centers that cannot be asked for what is added."""
    wanted = {center for stage in added_stages(study, new) for center in stage.centers}
    members = read_registry(directory.enrolment, study.name).members
    for center in sorted({found.center for found in read_withdrawn(directory)} & wanted):
        yield f"center '{center}' withdrew from the study for good; leave it out"
    for center in sorted(wanted & members.keys()):
        if members[center].state == "revoked":
            yield (
                f"center '{center}' is revoked; invite it again first (`concilium enroll {center} --study "
                f"{directory.root}`), or leave it out"
            )
    for center in study.centers:
        before, after = (sum(center not in stage.centers for stage in found.stages) for found in (study, new))
        if after > max(before, FURTHER_STAGES):
            yield (
                f"center '{center}' would be scored after {after} stages of others, its agreement has room for "
                f"{FURTHER_STAGES}; go on in a study of its own"
            )


def _sign(directory: StudyDirectory, ask: AskPassphrase) -> bool:
    """Whether the authority signed the log; its key may be elsewhere, and a simulation has none."""
    if not directory.coordinator.exists():
        return False
    try:
        sign_with_authority(directory, ask)
    except EnrolmentError:
        return False
    return True


def _busy(_: Exception) -> StudyError:
    return StudyError("another `concilium extend` works on this study; give the command again when it has ended")
