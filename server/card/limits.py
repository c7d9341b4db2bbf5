"""What a reader must know before he believes a score: limits that follow from facts, each in a sentence.

A limit that the facts do not show is not thereby absent; the card says that too.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reporting.formats import figure, label
from server.card.known_facts import KnownFacts
from server.card.scores import centers_with_their_own

Table = Mapping[str, Any]
FEW_TEST_CASES = 10
"""Below it nothing should be claimed about a center."""


def limits_of(facts: KnownFacts) -> list[str]:
    """The limits of a version, most grave first."""
    result, entry = facts.result, facts.entry
    return [
        *_of_the_data(result),
        *_of_the_course(result, entry.stage),
        *_of_those_who_left(facts.withdrawn),
        *_of_the_scores(result),
        *_of_what_was_not_done(facts),
    ]


def _of_the_data(result: Table) -> Iterator[str]:
    if result["synthetic"]:
        yield "Synthetic: every case is a computed phantom; no figure here says anything about patients."
    yield f"How the centers were formed, in the words of the study: {result['formed_by']}"
    tests = {name: center["cases"]["test"] for name, center in result["centers"].items() if center["evaluated"]}
    few = {name: count for name, count in tests.items() if count is not None and count < FEW_TEST_CASES}
    if few:
        counts = ", ".join(f"{name} {count}" for name, count in few.items())
        yield f"Fewer than {FEW_TEST_CASES} test cases at {len(few)} of {len(tests)} center(s): {counts}."
    unknown = [name for name, count in tests.items() if count is None]
    if unknown:
        yield f"Nobody said how many test cases these centers have: {', '.join(unknown)}."
    yield f"One seed ({result['seed']}): how far another one would lead away is not known from this study."


def _of_the_course(result: Table, stage: str) -> Iterator[str]:
    if result["status"] != "complete":
        yield f"The study is {result['status']}: stages that its file names were not run."
    for verdict in result["gates"]:
        if verdict["stage"] == stage and not verdict["promoted"]:
            yield f"The candidate of stage {stage} was refused: this version is the state before that stage."
        if verdict["stage"] == stage and verdict["provisional"]:
            yield f"Promoted provisionally: {', '.join(verdict['unheard']) or 'nobody'} was not heard."
    own = centers_with_their_own(result, stage)
    if own:
        yield f"Served something else than this version: {', '.join(sorted(own))}."
    if result["strategy"]["personal"]:
        kinds = " and ".join(result["strategy"]["personal"])
        yield f"Centers add tensors of their own ({kinds}) to the shared ones; their scores include these."
    for record in result["rollbacks"]:
        yield f"Round {record['server_round']} of stage {record['stage']} was undone for a fall of scores."


def _of_those_who_left(centers: Sequence[str]) -> Iterator[str]:
    if centers:
        yield f"Withdrawn from the study: {', '.join(centers)}; versions that hold their updates have no tensors now."


def _of_the_scores(result: Table) -> Iterator[str]:
    for setting, row in result["transfer"].items():
        if (row["forgetting"] or 0) > 0:
            yield f"Forgetting of {figure(row['forgetting'], 3)} with {label(setting)}, over the whole study."
    yield (
        "Each center tests on its own patients: test cases are of its own scanners and habits."
        if not _strangers(result)
        else f"Centers that are scored and trained in no stage: {', '.join(_strangers(result))}."
    )


def _of_what_was_not_done(facts: KnownFacts) -> Iterator[str]:
    if not _strangers(facts.result):
        yield "No external validation: every center that is scored took part in training."
    if not facts.audits:
        yield "Nobody handed on an attack on this version: what it gives away of its patients was not measured here."
    for audit in facts.audits:
        if audit.suppressed:
            withheld = ", ".join(audit.suppressed)
            yield f"{audit.center} withholds attacks on too few patients: {withheld}; nobody here knows their figures."
    yield "No figure by sex, age, stage of disease or scanner: the coordinator has no such data and may not have them."


def _strangers(result: Table) -> list[str]:
    trained = {center for stage in result["stages"] for center in stage["centers"]}
    return [name for name, center in result["centers"].items() if center["evaluated"] and name not in trained]
