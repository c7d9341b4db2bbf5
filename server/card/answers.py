"""Sentences that a card's facts answer items of reporting guidelines with; "" where the facts say nothing.

Each is of what the card holds and of nothing else. What the platform does at every center (how it splits, what it
refuses, what leaves) is said as its documentation says it.
"""

from collections.abc import Mapping
from typing import Any

from protocol.tasks import TASKS
from reporting.formats import label, words

Card = Mapping[str, Any]
OUTPUTS: Mapping[str, str] = {
    "segmentation": "a mask of 0 and 1, cut from probabilities at one half",
    "classification": "a probability of each class",
    "survival": "a risk, and a curve of being free of each event",
    "fusion": "one image in [0, 1] of CT and PET, or a reconstruction of CT alone",
}
"""Task -> what a network answers with."""


def title(card: Card) -> str:
    """What the study calls itself, and what kind of model it makes."""
    return (
        f"{card['study']['title']}: {_tasks(card)} from {_inputs(card)} by a neural network with adapters "
        f"({card['study']['adapter']['method']}), trained at {len(card['data'])} center(s) without moving images."
    )


def purpose(card: Card) -> str:
    """What it may be used for."""
    return str(card["notice"])


def objective(card: Card) -> str:
    """What was done."""
    kinds = ", ".join(dict.fromkeys(stage["kind"] for stage in card["training"]))
    return f"Development, with evaluation on test patients of the same centers; stages of kind {kinds}."


def sources(card: Card) -> str:
    """Where the cases come from."""
    return f"{', '.join(row['center'] for row in card['data'])}. How they were formed: {card['study']['formed_by']}"


def centers(card: Card) -> str:
    """How many centers, with what."""
    return "; ".join(f"{row['center']}: {_joined(row['modalities'])}" for row in card["data"])


def counts(card: Card) -> str:
    """Cases of each part at each center."""
    return "; ".join(f"{row['center']}: {_counts(row['cases'])}" for row in card["data"])


def preparation(card: Card) -> str:
    """The one grid and intensity scale."""
    return f"One grid and intensity scale for all centers: {words(card['study']['preprocessing'])}."


def outcome(card: Card) -> str:
    """What is predicted."""
    return f"{_tasks(card)}; trained on cases that have {' or '.join(_targets(card))}."


def output(card: Card) -> str:
    """What comes out."""
    return ", ".join(OUTPUTS[task] for task in card["study"]["tasks"])


def reference_standard(card: Card) -> str:
    """What truth is for scores."""
    return f"Each center's own reference: {' or '.join(_targets(card))}."


def predictors(card: Card) -> str:
    """What the network sees."""
    return f"Inputs: {_inputs(card)}, as each case has them."


def missing(card: Card) -> str:
    """What a case without a modality means."""
    return (
        f"A modality that a case lacks stays absent, no value is put in its place; scores are given for each input "
        f"({_inputs(card)}). What is withheld, undefined or not scored is shown as such, each by its own word."
    )


def partitions(card: Card) -> str:
    """Who trains and who tests."""
    return f"Each center's patients were drawn once, by seed, into training, validation and test: {counts(card)}."


def disjoint(_card: Card) -> str:
    """On which level."""
    return "Patients: all cases of a patient have one part for the whole study, at the center that has them."


def training(card: Card) -> str:
    """Stages, rounds, steps."""
    return "; ".join(_stage(stage) for stage in card["training"])


def initialisation(card: Card) -> str:
    """What training began with."""
    seed, backbone = card["study"]["seed"], card["version"]["backbone"]
    return f"Drawn from seed {seed}, or the backbone that was given; frozen backbone {backbone}."


def selection(card: Card) -> str:
    """What decides that a version is used."""
    gate = card["study"]["gate"]
    if not gate:
        return "The state after the stage's last round; no gate."
    return (
        "The state after the stage's last round, promoted by a gate on validation patients of the stage's and earlier "
        f"centers (tolerance {gate['tolerance']:g}, confidence {gate['confidence']:g})."
    )


def prediction(_card: Card) -> str:
    """How whole volumes are predicted."""
    return "One network, no ensemble; whole images by sliding windows. No step of prediction sees a reference."


def metrics(card: Card) -> str:
    """By which figures."""
    return ", ".join(dict.fromkeys(row["label"] for row in card["scores"]))


def performance(card: Card) -> str:
    """Where the scores are."""
    given = sum(row["value"] is not None for row in card["scores"])
    return f"{given} of {len(card['scores'])} figures, by center and input, under Scores." if given else ""


def heterogeneity_method(card: Card) -> str:
    """How differences between centers are looked at."""
    return "Every figure is given for each center and each input by itself." if card["scores"] else ""


def updating(card: Card) -> str:
    """How it grew from earlier versions."""
    return (
        f"Versions it grew from: {', '.join(row['reference'] for row in card['lineage'][:-1])}."
        if card["lineage"][1:]
        else ""
    )


def external(card: Card) -> str:
    """Whether anybody outside was scored."""
    trained = {center for stage in card["training"] for center in stage["centers"]}
    outside = sorted({row["center"] for row in card["scores"] if row["value"] is not None} - trained)
    return f"Centers that trained in no stage up to this version: {', '.join(outside)}." if outside else ""


def specification(card: Card) -> str:
    """Where the whole model is."""
    model, version = card["study"]["model"], card["version"]
    return (
        f"{model['name']} ({words(model['options']) or 'its own sizes'}), {words(card['study']['adapter'])}; tensors "
        f"{version['sha256']} on backbone {version['backbone']}; `concilium bank export` writes both."
    )


def software(card: Card) -> str:
    """Packages and their versions."""
    return words(card["study"]["versions"])


def protocol(card: Card) -> str:
    """What was agreed before."""
    return f"Settings were fixed before the first round; result.json {card['study']['result_sha256']} repeats them."


def data_sharing(_card: Card) -> str:
    """What is shared."""
    return (
        "Images and labels stay at the centers and are not shared; adapters and figures are the coordinator's to share."
    )


def deidentification(_card: Card) -> str:
    """What of a patient the coordinator has."""
    return "The coordinator has no image and no identifier; it has tensors and figures over cases, not anonymous ones."


def limitations(card: Card) -> str:
    """Where they stand."""
    return f"{len(card['limits'])} limits that follow from the facts, under Known limits."


def _tasks(card: Card) -> str:
    return " and ".join(card["study"]["tasks"])


def _targets(card: Card) -> list[str]:
    return [TASKS[task].target for task in card["study"]["tasks"]]


def _inputs(card: Card) -> str:
    return ", ".join(dict.fromkeys(label(row["setting"]) for row in card["scores"])) or _joined(
        name for row in card["data"] for name in row["modalities"]
    )


def _joined(names: Any) -> str:
    return " + ".join(label(name) for name in dict.fromkeys(names))


def _counts(cases: Mapping[str, int | None]) -> str:
    return ", ".join(f"{part} {'unknown' if count is None else count}" for part, count in cases.items())


def _stage(stage: Mapping[str, Any]) -> str:
    return (
        f"{stage['name']}: {stage['rounds']} round(s) of {stage['local_steps']} steps at "
        f"{', '.join(stage['centers'])}, learning rate {stage['learning_rate']:g}, {stage['aggregation']}, trains "
        f"{', '.join(stage['trained_groups'])}"
    )
