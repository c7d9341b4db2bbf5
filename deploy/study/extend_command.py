"""What `concilium extend` says: what came of it, and what is left to do for each center."""

from collections.abc import Iterator

from deploy.study.study_extension import Extended, Extension
from server.study.directory import StudyDirectory


def plan_lines(directory: StudyDirectory, extension: Extension) -> Iterator[str]:
    """What is added, and what every center has to do with it."""
    study, root = extension.study, directory.root
    for stage in extension.stages:
        yield f"stage '{stage.name}' ({stage.kind}), {stage.all_rounds} round(s): {', '.join(stage.centers)}"
    for center in extension.centers:
        yield f"center '{center}' is new{_invitation(directory, center)}"
    for center, stages in extension.asked_anew.items():
        names = ", ".join(stages)
        yield f"center '{center}' trains again, in {names}, which it has not agreed to{_agreement(directory, center)}"
        if study.privacy is not None:
            yield (
                "  its ledger decides whether it can: noise is worked out anew from what its patients have left, and "
                "it sits out as `privacy-noise` or `privacy-spent` where that is too little"
            )
    if same := sorted(study.centers.keys() - {*extension.centers, *extension.asked_anew}):
        yield f"nothing changes for {', '.join(same)}: they compare and are scored, as agreed"
    if study.secure_aggregation is not None and directory.coordinator.exists():
        yield f"the study sums in secret: when its centers are enrolled, `concilium roster --study {root}`"


def done_lines(directory: StudyDirectory, done: Extended) -> Iterator[str]:
    """What was done, and how the study goes on."""
    root = directory.root
    yield f"study '{done.extension.study.name}' is extended; what it was, with its results, is in {done.kept}"
    yield from plan_lines(directory, done.extension)
    if directory.coordinator.exists() and not done.signed:
        yield f"the authority's key is not at hand: sign the log where it is, `concilium audit sign {root}`"
    if done.under_way:
        yield (
            "the study is under way: the stage under way ends as it began, what is added counts from its end on. Where "
            f"that was the last, look whether the study went on: `concilium status {root}`"
        )
    elif directory.coordinator.exists():
        yield f"go on with `concilium launch {root}` when the centers of the next stage are enrolled"
    else:
        yield f"go on with `concilium simulate --study {root}/study.toml --out {root} --data DATA --resume`"


def _invitation(directory: StudyDirectory, center: str) -> str:
    if not directory.coordinator.exists():
        return ""
    return f": invite it with `concilium enroll {center} --study {directory.root}`"


def _agreement(directory: StudyDirectory, center: str) -> str:
    if not directory.coordinator.exists():
        return "; in a simulation it does"
    return f": it sits out there until it joins with a new kit, `concilium enroll {center} --study {directory.root}`"
