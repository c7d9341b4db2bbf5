"""The model card of a version, as JSON; docs/card.md describes every key. Nothing in it is estimated or invented."""

from collections.abc import Mapping
from typing import Any

from protocol.messages.tensors import kind_of
from server.card.checklists import fill
from server.card.known_facts import KnownFacts
from server.card.limits import limits_of
from server.card.scores import NO_INTERVAL, scores_of
from server.results.result import read_versions
from strategies.bank.entry import Entry

Table = Mapping[str, Any]
SCHEMA = 1
NOTICE = "Research use only. Not a medical device: nobody has shown that it helps a patient."
NO_SCANNERS = "Not known here: scanners, protocols and dates of images are no facts that a center sends."
NOT_REPORTED = "Not reported: no center has said what privacy it spent on this version."
AS_STATED = (
    "Spent as each center itself stated it, of all that its ledger holds on its patients who train: other studies and "
    "later rounds too. Nobody else has that ledger to check it against."
)
NO_ATTACK = "None was handed on."


def build_card(facts: KnownFacts) -> dict[str, Any]:
    """Everything docs/card.md lists, ready for JSON."""
    result, entry = facts.result, facts.entry
    card = {
        "schema": SCHEMA,
        "notice": NOTICE,
        "version": {"reference": entry.reference, **entry.record, "in_use": facts.is_in_use},
        "lineage": [_ancestor(each) for each in facts.lineage],
        "study": _study(result, facts.result_sha256),
        "data": [_center(result, name, entry) for name in result["centers"]],
        "scanners": NO_SCANNERS,
        "training": _stages_up_to(result, entry.stage),
        "scores": scores_of(result, entry),
        "interval_statement": NO_INTERVAL,
        "privacy": _privacy(facts),
        "attacks": [audit.model_dump(mode="json", by_alias=True) for audit in facts.audits],
        "attacks_statement": "" if facts.audits else NO_ATTACK,
        "limits": limits_of(facts),
        "made_with": read_versions().get("concilium"),
    }
    return {**card, "reporting": fill(card)}


def _privacy(facts: KnownFacts) -> dict[str, Any]:
    """What was asked, and what each center says that it spent; which other studies its patients are in stays out."""
    shown: dict[str, Any] = {
        "center": True,
        "spent": True,
        "without_guarantee": {"__all__": {"kind", "releases", "since"}},
    }
    told = [spent.model_dump(mode="json", include=shown) for spent in facts.spent_privacy]
    return {"asked": facts.asked_privacy, "reported": told, "statement": AS_STATED if told else NOT_REPORTED}


def _ancestor(entry: Entry) -> dict[str, Any]:
    keys = ("reference", "stage", "server_round", "center", "sha256", "backbone", "provenance")
    return {key: getattr(entry, key) for key in keys}


def _study(result: Table, digest: str) -> dict[str, Any]:
    keys = (
        "title",
        "status",
        "synthetic",
        "formed_by",
        "seed",
        "tasks",
        "model",
        "adapter",
        "preprocessing",
        "versions",
    )
    strategy = result["strategy"]
    shown = {"gate": strategy["gate"], "personal": strategy["personal"], "scheme": strategy["aggregation"]["scheme"]}
    return {"name": result["study"], **{key: result[key] for key in keys}, **shown, "result_sha256": digest}


def _center(result: Table, name: str, entry: Entry) -> dict[str, Any]:
    """What the coordinator knows of a center, and which tensor groups it trained for but never sent."""
    center, stages = result["centers"][name], _stages_up_to(result, entry.stage)
    own = [stage for stage in stages if name in stage["centers"]]
    return {
        "center": name,
        "modalities": center["modalities"],
        "evaluated": center["evaluated"],
        "cases": center["cases"],
        "stages": [stage["name"] for stage in own],
        "suppressed_groups": sorted({group for stage in own for group in _never_sent(result, stage, name)}),
        "rounds_missed": sum(
            bool(row["error"]) for row in result["rounds"] if row["center"] == name and _is_of(row, stages)
        ),
    }


def _never_sent(result: Table, stage: Table, center: str) -> set[str]:
    """Groups that a stage trains and that no round of the center stood behind: not owned there, or too few cases."""
    rounds = [row for row in result["rounds"] if row["center"] == center and row["stage"] == stage["name"]]
    sent = {kind_of(group) for row in rounds for group in row.get("support", {})}
    return set(stage["trained_groups"]) - sent if rounds else set()


def _is_of(row: Table, stages: list[Table]) -> bool:
    return any(row["stage"] == stage["name"] for stage in stages)


def _stages_up_to(result: Table, stage: str) -> list[Table]:
    """The stages until the one that made the version; all where it is no stage of the study's."""
    names = [each["name"] for each in result["stages"]]
    return list(result["stages"][: names.index(stage) + 1] if stage in names else result["stages"])
