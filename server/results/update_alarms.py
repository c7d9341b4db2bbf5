"""What of the centers' updates a person should look at, in the report: who, in which rounds, what, and what to do.

Of a round's record come the alarms (`server.rounds.alarms`) and what was cut (`server.rounds.clipping`), of its
aggregation the centers that a robust rule gave no weight (`server.rounds.robustness`). Honest centers raise each of
them: a row asks for a question, and accuses nobody.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Table = Mapping[str, Any]
CUT, LEFT_OUT, SHARE = "cut", "left-out", "share/"
ASK = "Ask what changed there: a new scanner or a first PET moves far."
KINDS: Mapping[str, tuple[str, str]] = {
    "unusual": (
        "moved far more than updates of its stage did so far; it was used",
        f"{ASK} If nothing did, look at its labels and learning rate with it, or end its membership: concilium revoke.",
    ),
    "long": (
        "is far longer than the other centers' allow; it was used, since the study asks for an alarm alone",
        f'{ASK} Where nobody can say, cut such updates: clipping = "cut" under [strategy.aggregation].',
    ),
    CUT: (
        "was far longer than the other centers' allow, and was cut to their length",
        f'{ASK} Where all centers trust each other, clipping = "alarm" lets such updates in whole.',
    ),
    "unmoved": (
        "moved nothing; it was used",
        "Ask whether it trained, and look into its trainer's log. Who does not train has the others' work for nothing.",
    ),
    "replayed": (
        "holds the very tensors of an earlier round; it was used",
        "Ask whether its home was put back from a backup, or what it sends in place of training.",
    ),
    "copied": (
        "holds the very tensors that another center of the round sent; it was used",
        "Ask both: one may have been set up from a copy of the other's home or data, or sends what it received.",
    ),
    "fewer-cases": (
        "stands on fewer cases than the center registered for the stage; it was used",
        "Ask what became of the others: the trainer's log there names each that is gone or cannot be read any more.",
    ),
    LEFT_OUT: (
        "had no weight in a tensor group under the robust rule",
        "A rule cannot tell a rare scanner from a liar. Where it is always this center, look at its updates with it.",
    ),
}


@dataclass(frozen=True)
class UpdateAlarm:
    """One kind of alarm of one center in one stage: the rounds as `2-4, 7`, what it is, and what to do."""

    center: str
    stage: str
    rounds: str
    what: str
    remedy: str


def update_alarms(study: Table) -> list[UpdateAlarm]:
    """The alarms of a study's updates from the content of `result.json`, in the order in which each was first raised.

    A kind that this version does not know is shown by its name.
    """
    found: dict[tuple[str, str, str], set[int]] = {}
    for number, *of in sorted([*_of_records(study["rounds"]), *_of_rules(study["aggregations"])]):
        stage, center, kind = of
        found.setdefault((stage, center, kind), set()).add(number)
    return [
        UpdateAlarm(center, stage, spans(rounds), *KINDS.get(kind, (kind, "Look into the coordinator's log.")))
        for (stage, center, kind), rounds in found.items()
    ]


def spans(numbers: Iterable[int]) -> str:
    """Numbers in order, those that follow each other as one span: 1, 2, 3, 7 is `1-3, 7`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def _of_records(rounds: Iterable[Table]) -> Iterator[tuple[int, str, str, str]]:
    for row in rounds:
        for kind in (*row.get("alarms", ()), *([CUT] if row.get("clipped") else ())):
            yield row["server_round"], row["stage"], row["center"], kind


def _of_rules(aggregations: Iterable[Table]) -> Iterator[tuple[int, str, str, str]]:
    for row in aggregations:
        shares = {name: value for name, value in row["figures"].items() if name.startswith(SHARE)}
        for center in sorted({name.rpartition("/")[2] for name, value in shares.items() if value == 0}):
            yield row["server_round"], row["stage"], center, LEFT_OUT
