"""What no round can do for patients who are guaranteed privacy: said by name, before anything is read.

Each patient's gradient must be of that patient alone, and all else that moves a tensor of nobody.
"""

from collections.abc import Collection, Iterator

from protocol.messages.settings import StudySettings
from strategies.continual.terms import TERMS, Weights


def private_findings(settings: StudySettings, groups: Collection[str], weights: Weights) -> Iterator[str]:
    """What a round asks that is not private, and what to write in its place; nothing where no privacy is asked for.

    Args:
        settings: of the study.
        groups: tensor groups that the round trains.
        weights: of its local terms.
    """
    if settings.privacy is None:
        return
    yield from settings.privacy.norm_findings(groups)
    for name in [name for name, weight in weights.items() if weight and name in TERMS and TERMS[name].reads == "more"]:
        instead = [other for other, term in TERMS.items() if term.compares and not _is_refused(other)]
        yield (
            f"local term '{name}' takes gradients of several patients together, which [privacy] does not allow; use "
            f"{' or '.join(instead)}, or leave it out"
        )
    for name in [name for name, weight in weights.items() if weight and name in TERMS and TERMS[name].remembers]:
        yield (
            f"local term '{name}' stands on a statistic of patients who trained, which [privacy] lets nobody send; "
            "leave it out"
        )
    classes, endpoints = settings.labels.classes, settings.labels.endpoints
    if "classification" in settings.tasks and classes is not None and not classes.weights:
        yield (
            "classification weighs classes by how many patients of a center have each, which [privacy] does not allow; "
            "write labels.classes.weights"
        )
    if "survival" in settings.tasks and endpoints and settings.labels.survival.head == "cox":
        yield (
            "the partial likelihood of head 'cox' compares patients with each other, which [privacy] does not allow; "
            'write labels.survival.head = "mtlr"'
        )


def _is_refused(name: str) -> bool:
    return TERMS[name].reads == "more" or TERMS[name].remembers is not None
