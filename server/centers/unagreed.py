"""Which stages of a study that was extended its centers have not agreed to: there they sit out until a kit is accepted.

A center's plan names the stages in which it trains (`protocol.enrolment.plan`). Stages of others change nothing for it.
"""

from collections.abc import Iterator, Mapping

from server.centers.registry import Member, read_registry
from server.centers.study_plan import digest_of
from server.study.directory import StudyDirectory
from server.study.file import Study, read_study
from server.study.versions import earlier_studies

Stages = dict[str, tuple[str, ...]]


def stages_not_agreed(directory: StudyDirectory, study: Study, members: Mapping[str, Member]) -> Stages:
    """Center -> the stages in which it would train and which the version of the study that it agreed to had not.

    Only enrolled centers are in it whose agreement is with an earlier version of this study; one that agreed to
    something else is left to `concilium launch`, which refuses it.

    Raises:
        StudyError: a file of an earlier version cannot be read.
    """
    behind = {
        center: member.agreed_sha256
        for center, member in members.items()
        if member.accepted
        and member.agreed_sha256
        and center in study.centers
        and member.agreed_sha256 != digest_of(study, center)
    }
    earlier = earlier_studies(directory) if behind else ()
    found = {center: _agreed_version(center, agreed, earlier) for center, agreed in behind.items()}
    return {
        center: tuple(stage.name for stage in study.stages[len(version.stages) :] if center in stage.centers)
        for center, version in found.items()
        if version is not None
    }


def agreement_notices(directory: StudyDirectory) -> Iterator[str]:
    """A line for each center that sits out, with what lets it take part.

    Raises:
        ConciliumError: the study or its registry cannot be read.
    """
    study = read_study(directory.study_file)
    members = read_registry(directory.enrolment, study.name).members
    for center, stages in stages_not_agreed(directory, study, members).items():
        is_out = bool(members[center].offered_sha256)
        does = (
            f"its new kit is out: accept its answer with `concilium enroll --accept {center}.answer`"
            if is_out
            else f"send it a new kit: `concilium enroll {center} --study {directory.root}`"
        )
        yield f"center '{center}' has not agreed to stage(s) {', '.join(stages)} and sits out there; {does}"


def _agreed_version(center: str, agreed_sha256: str, earlier: tuple[Study, ...]) -> Study | None:
    for study in earlier:
        if center in study.centers and digest_of(study, center) == agreed_sha256:
            return study
    return None
