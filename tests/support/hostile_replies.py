"""Replies that no center of ours sends, each made of an honest one: name -> records of the honest reply -> hostile.

`HOSTILE_UPDATES` are answers to `train`, `HOSTILE_REGISTRATIONS` to `register`, `HOSTILE_COMPARISONS` to `compare` and
`HOSTILE_SCORES` to `evaluate`. None may end a run, hold it up or be believed; each costs its center what was asked.
"""

import json
from collections.abc import Mapping

from flwr.app import RecordDict

from tests.support.hostile_tensors import HOSTILE_RECORDS, HOSTILE_TENSORS
from tests.support.reply_damage import (
    ESC,
    MANY,
    MEGABYTE,
    Hostile,
    nested,
    score,
    text_of,
    with_blob,
    with_characters,
    with_error,
    with_fields,
    with_many_facts,
    with_many_fields,
    with_payload,
    with_raw,
    with_score,
    with_text,
)


def _duplicate_fields(content: RecordDict) -> RecordDict:
    text = json.dumps(text_of(content))
    return with_text(text[:-1] + ', "kind": "register"}')(content)


def _of_another_center(content: RecordDict) -> RecordDict:
    return with_fields(center="somebody-else")(content)


CODES: Mapping[str, str] = {
    "rich markup": "[/x]",
    "rich link": "[link=http://evil]x[/link]",
    "ansi colours": ESC,
    "a line break": "cases\n2026-01-01 00:00:00 INFO study complete",
    "a carriage return": "cases\rOK",
    "a right-to-left override": "\u202eevil",
    "a zero-width space": "ca\u200bses",
    "a bell": "\x07",
    "a zero byte": "cases\0",
    "html": "<script>alert(1)</script>",
    "a path": "../../etc/passwd",
    "1 MB": "x" * MEGABYTE,
    "a percent sign": "%s%s%n",
    "braces": "{0.__class__}",
    "an emoji": "💥",
    "a code nobody has": "paid-in-full",
    "the coordinator's own no-answer": "no-answer",
    "the coordinator's own node-unavailable": "node-unavailable",
    "the coordinator's own other-center": "other-center",
    "a space": " ",
    "unicode that looks like a code": "\u0441ases",
}
"""Errors that are no codes of ours, and codes that only a coordinator gives."""


HOSTILE_TEXTS: Mapping[str, Hostile] = {
    "text: empty": with_text(""),
    "text: a number": with_text(1),
    "text: bytes": with_text(b"{}"),
    "text: a list of texts": with_text(["{}", "{}"]),
    "text: nested 10,000 deep": with_text(nested(10_000)),
    "text: nested 10,000 deep in a field": with_raw('"facts": {}', f'"facts": {{"cases": {nested(10_000)}}}'),
    "text: 100 MB": with_characters("x", 100 * MEGABYTE),
    "text: 20 MB of spaces in front": with_characters(" ", 20 * MEGABYTE),
    "text: half of one": lambda content: with_text(json.dumps(text_of(content))[:100])(content),
    "text: NaN": with_raw('"loss": 0.5', '"loss": NaN'),
    "text: a number of 5,000 digits": with_raw('"loss": 0.5', f'"loss": {"9" * 5000}'),
    "text: an exponent of 999,999,999": with_raw('"loss": 0.5', '"loss": 1e999999999'),
    "text: a lone surrogate": with_raw('"error": ""', '"error": "\\ud800"'),
    "text: null": with_text("null"),
    "text: a list": with_text("[]"),
    "text: twice the kind": _duplicate_fields,
    "text: an unknown field": with_fields(admin=True),
    "text: a hundred thousand unknown fields": with_many_fields(MANY),
    "text: an unknown field named in ansi": with_fields(**{ESC + "\nOK": 1}),
    "text: no field at all": with_text("{}"),
}
"""The message's text as a whole."""


HOSTILE_FIELDS: Mapping[str, Hostile] = {
    "center: another one": _of_another_center,
    "center: a path": with_fields(center="../a"),
    "center: a list": with_fields(center=["a"]),
    "kind: another one": with_fields(kind="register"),
    "kind: none of ours": with_fields(kind="shutdown"),
    "seconds: 1e308": with_fields(seconds=1e308),
    "seconds: below zero": with_fields(seconds=-1.0),
    "seconds: a text": with_fields(seconds="1"),
    "seconds: true": with_fields(seconds=True),
    "loss: 1e308": with_fields(loss=1e308),
    "loss: -1e308": with_fields(loss=-1e308),
    "loss: a text": with_fields(loss="0.5"),
    "facts: a hundred thousand": with_many_facts(MANY),
    "facts: a name in ansi": with_fields(facts={ESC: 1}),
    "facts: an unknown one": with_fields(facts={"patients": 1}),
    "facts: a patient's name": with_fields(facts={"device": "Mr. Miller, 1950-01-01"}),
    "facts: 1e30 cases": with_fields(facts={"cases": 10**30}),
    "diagnostics: a thousand": with_fields(diagnostics={f"gate/{number}/ct/mean": 0.1 for number in range(1000)}),
    "diagnostics: an unknown one": with_fields(diagnostics={"[/x]": 0.1}),
    "diagnostics: out of bounds": with_fields(diagnostics={"gate/0/ct/mean": 7.0}),
    "diagnostics: a digit of another script": with_fields(diagnostics={"gate/\u0661/ct/mean": 0.1}),
    "comparison: a difference of 7": with_fields(comparison={"cases": 5, "difference": 7.0}),
    "payload: none": with_error(""),
    "payload: none beside tensors": with_fields(payload=None),
    "payload: a list": with_fields(payload=[]),
}
"""Fields of the reply beside its payload and scores."""


HOSTILE_PAYLOADS: Mapping[str, Hostile] = {
    "payload: of another center": with_payload(center="somebody-else"),
    "payload: a stage of 200 kB": with_payload(stage="x" * 200_000),
    "payload: a stage with line breaks": with_payload(stage="adapt\nINFO complete"),
    "payload: a stage that is a path": with_payload(stage="../../adapt"),
    "payload: round 10^30": with_payload(server_round=10**30),
    "payload: round -1": with_payload(server_round=-1),
    "payload: round of an earlier stage": with_payload(server_round=0),
    "payload: round true": with_payload(server_round=True),
    "payload: a hash in ansi": with_payload(backbone_hash=ESC),
    "payload: a frozen hash of 100 kB": with_payload(frozen_hash="f" * 100_000),
    "payload: support of 1e30": with_payload(support={"peft": 10**30}),
    "payload: support below zero": with_payload(support={"peft": -1}),
    "payload: support true": with_payload(support={"peft": True}),
    "payload: support of ten thousand groups": with_payload(support={f"g{number}": 1 for number in range(10_000)}),
    "payload: support of a group in markup": with_payload(support={"peft": 5, "[/x]": 5}),
    "payload: a phase nobody has": with_payload(phase="lora_c"),
    "payload: a phase of every role ten thousand times": with_payload(phase="+".join(["lora_a"] * 10_000)),
    "payload: tensors in the text": with_payload(tensors={"a": [1.0]}),
    "payload: a field too many": with_payload(admin=True),
}
"""Fields of the payload."""


VALUES: Mapping[str, Mapping[str, object]] = {
    "Dice 7": {"dice": 7.0},
    "Dice -1": {"dice": -1.0},
    "Dice 1e308": {"dice": 1e308},
    "Dice as a text": {"dice": "0.5"},
    "Dice true": {"dice": True},
    "HD95 1e308": {"hd95_mm": 1e308},
    "a metric of no task": {"loss": 0.5},
    "a metric of a task that the study has not": {"auc": 0.5},
    "a metric of an endpoint that the study has not": {"concordance/death": 0.5},
    "a metric of an endpoint in markup": {"concordance/[/x]\x1b[31m\n": 0.5},
    "a metric of an endpoint of 100 kB": {f"concordance/{'x' * 100_000}": 0.5},
    "a metric of an empty endpoint": {"concordance/": 0.5},
    "pairs of 1e308": {"pairs": 1e308},
    "five thousand metrics": {f"concordance/e{number}": 0.5 for number in range(5000)},
}
"""Figures of a score that cannot be, or that nobody asked for."""

HOSTILE_SCORES: Mapping[str, Hostile] = {
    **{f"scores: {name}": with_score(values=found, undefined={}) for name, found in VALUES.items()},
    "scores: 1e30 cases": with_score(cases=10**30),
    "scores: -1 cases": with_score(cases=-1),
    "scores: more undefined than cases": with_score(undefined={"dice": 6}),
    "scores: rarest below zero": with_score(rarest={"dice": -5}),
    "scores: ten thousand rarest": with_score(rarest={f"r{number}": 1 for number in range(10_000)}),
    "scores: a setting nobody has": with_fields(scores={"mri": score()}),
    "scores: a setting in ansi": with_fields(scores={ESC: score()}),
    "scores: a list": with_fields(scores=[score()]),
}
"""Scores, wherever they are asked for."""

HOSTILE_UPDATES: Mapping[str, Hostile] = {
    **{f"error: {name}": with_error(code) for name, code in CODES.items()},
    **HOSTILE_TEXTS,
    **HOSTILE_FIELDS,
    **HOSTILE_PAYLOADS,
    **HOSTILE_SCORES,
    **HOSTILE_RECORDS,
    **HOSTILE_TENSORS,
}

COUNTS = {"train_cases": 5, "validation_cases": 5, "test_cases": 5}
HOSTILE_REGISTRATIONS: Mapping[str, Hostile] = {
    "facts: none": with_fields(facts={}),
    "facts: no train_cases": with_fields(facts={"validation_cases": 5, "test_cases": 5}),
    "facts: textual train_cases": with_fields(facts={**COUNTS, "train_cases": "five"}),
    "facts: train_cases as a text of digits": with_fields(facts={**COUNTS, "train_cases": "5"}),
    "facts: train_cases as a float": with_fields(facts={**COUNTS, "train_cases": 5.5}),
    "facts: train_cases true": with_fields(facts={**COUNTS, "train_cases": True}),
    "facts: train_cases below zero": with_fields(facts={**COUNTS, "train_cases": -5}),
    "facts: 1e30 train_cases": with_fields(facts={**COUNTS, "train_cases": 10**30}),
    "facts: train_cases of 1e308": with_fields(facts={**COUNTS, "train_cases": 1e308}),
    "facts: ten thousand beside": with_fields(facts={**COUNTS, **{f"f{number}": 1 for number in range(10_000)}}),
    "facts: an unknown one beside": with_fields(facts={**COUNTS, "patients": 5}),
    "facts: a device in ansi": with_fields(facts={**COUNTS, "device": ESC}),
    "facts: a version of 1 MB": with_fields(facts={**COUNTS, "version": "1" * MEGABYTE}),
    "facts: a list": with_fields(facts=[5, 5, 5]),
    "tensors beside a registration": with_blob(lambda blob: blob),
    "scores of a study not asked for": with_score(values={"auc": 0.5}, undefined={}),
    "center: another one": _of_another_center,
    "text: nested 10,000 deep": with_text(nested(10_000)),
    "records: none": lambda _content: RecordDict({}),
    "error: rich markup": with_error("[/x]"),
    "error: 1 MB": with_error("x" * MEGABYTE),
    "seconds: 1e308": with_fields(seconds=1e308),
}

HOSTILE_COMPARISONS: Mapping[str, Hostile] = {
    "comparison: a difference of 7": with_fields(comparison={"cases": 5, "difference": 7.0}),
    "comparison: a text": with_fields(comparison="better"),
    "comparison: 1e30 cases": with_fields(comparison={"cases": 10**30, "difference": 0.1}),
    "comparison: -1 cases": with_fields(comparison={"cases": -1, "difference": 0.1}),
    "comparison: true cases": with_fields(comparison={"cases": True, "difference": 0.1}),
    "comparison: a difference as a text": with_fields(comparison={"cases": 5, "difference": "0.1"}),
    "comparison: an unknown field": with_fields(comparison={"cases": 5, "difference": 0.1, "weight": 9}),
    "comparison: nested": with_fields(comparison=[[[]]]),
    "error: rich markup": with_error("[/x]"),
}
