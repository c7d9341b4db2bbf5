"""What the stages of a study leave untrained that they need: stages without work, and PET that nothing listens to."""

from collections.abc import Collection, Iterator

from protocol.local_steps import is_gate
from protocol.messages.tensors import FUSION, GROUPS, HEAD, NEEDS, PATHWAYS, PERSONAL, PET, Tensors
from protocol.modalities import parts_of
from protocol.tasks import TASKS
from server.study.file import Study
from server.study.stage import Stage


def idle_stages(study: Study, groups: frozenset[str]) -> Iterator[str]:
    """What is wrong with each stage none of whose groups the model has."""
    there = [group for group in GROUPS if group in groups and group not in PERSONAL]
    for stage in study.stages:
        if not groups & set(stage.trained):
            yield (
                f"stage '{stage.name}' ({stage.kind}) has nothing to train: it trains {list(stage.trained)}, and model "
                f"'{study.model.name}' has {there}; name some of these in the stage's groups"
            )


def idle_pathways(study: Study, groups: Collection[str]) -> dict[str, list[str]]:
    """Groups of the model that no stage trains, with the settings of its stages that run through them."""
    trained = {group for stage in study.stages for group in stage.trained}
    idle = [group for group in (*PATHWAYS, HEAD) if group in groups and group not in trained]
    through = {
        group: sorted({name for stage in study.stages for name in _settings_through(study, stage, group)})
        for group in idle
    }
    return {group: settings for group, settings in through.items() if settings}


def unheard_pathways(study: Study, initial: Tensors) -> Iterator[str]:
    """What is wrong with each stage that teaches PET's pathway behind gates and gains that stay closed.

    At zero they hand on nothing of PET, and no gradient either: a case with CT and PET teaches the pathway nothing.

    Args:
        initial: the tensors that the study starts from; gates and gains that are open there let PET through.
    """
    gates = [array for key, array in initial.items() if is_gate(key)]
    if not gates or any(array.any() for array in gates):
        return
    opened = set[str]()
    for stage in study.stages:
        both = [center for center in stage.centers if NEEDS[FUSION] <= set(study.centers[center].modalities)]
        if not both or not _settings_through(study, stage, FUSION):
            continue
        deaf = [center for center in both if center not in opened]
        if FUSION in stage.trained:
            opened |= set(study.centers if study.scheme_of(stage).exchanges else both)
        elif PET in stage.trained and deaf:
            yield (
                f"stage '{stage.name}' ({stage.kind}) trains '{PET}' but not '{FUSION}', and no stage before it opened "
                f"the gates and gains of model '{study.model.name}', which start at 0: at {deaf} CT with PET would be "
                f"answered as CT alone and teach '{PET}' nothing; name '{FUSION}' among the stage's groups too, or "
                'give `pathway = "published"`, or a `gate` or `gain` above 0, in [model.options]'
            )


def _settings_through(study: Study, stage: Stage, group: str) -> list[str]:
    """The settings that a stage trains on and that reach a group; a head is reached by all, if the task has one."""
    if group == HEAD and HEAD not in TASKS[stage.task].groups:
        return []
    shares = study.shares_of(stage)
    return [name for name, share in shares.items() if share and NEEDS.get(group, frozenset()) <= parts_of(name)]
