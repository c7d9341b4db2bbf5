"""What a center sends and may not: it is refused by name, and the round goes on without it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from protocol.messages.instruction import Instruction
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from strategies.bank.bank import AdapterBank
from tests.support.federation import TOGETHER, errors_of, federation, result_of


def with_payload(change: Any) -> Any:
    """What center-d does to its first payload."""

    def changed(instruction: Instruction, reply: Reply) -> Reply:
        if reply.center != "center-d" or instruction.server_round != 1 or reply.payload is None:
            return reply
        return replace(reply, payload=change(instruction, reply.payload))

    return changed


def _moved_factor(instruction: Instruction, payload: Payload) -> Payload:
    moved = {key: array + 1 for key, array in instruction.tensors.items() if key.endswith("#lora_a")}
    return replace(payload, tensors={**payload.tensors, **moved})


def _first(payload: Payload, value: float) -> dict[str, Any]:
    key = next(key for key in sorted(payload.tensors) if key.endswith("#magnitude"))
    array = np.array(payload.tensors[key])
    array.flat[0] = value
    return {**payload.tensors, key: array}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_moved_factor, "phase"),
        (lambda _i, p: replace(p, frozen_hash="0" * 64), "frozen-moved"),
        (lambda _i, p: replace(p, phase="lora_a"), "phase"),
        (lambda _i, p: replace(p, backbone_hash="1" * 64), "other-backbone"),
        (lambda _i, p: replace(p, stage="pretrain"), "payload"),
        (lambda _i, p: replace(p, server_round=0), "late"),
        (lambda _i, p: replace(p, support={"peft": 99}), "support"),
        (lambda _i, p: replace(p, tensors=_first(p, float("nan"))), "non-finite"),
        (lambda _i, p: replace(p, tensors=_first(p, -1.0)), "norm"),
        (lambda _i, p: replace(p, tensors=_first(p, 1e-9)), "norm"),
        (lambda _i, p: replace(p, tensors={k: a[:1] for k, a in p.tensors.items()}), "payload"),
    ],
    ids=[
        *("frozen-factor-sent", "frozen-factor-moved", "other-phase", "other-backbone", "other-stage", "other-round"),
        *("weight-inflation", "nan", "negative-gain", "vanishing-gain", "other-rank"),
    ],
)
def test_what_may_not_enter_is_refused_by_name_and_the_round_goes_on(
    change: Any, code: str, cohort: Path, tmp_path: Path
) -> None:
    found = federation(tmp_path, cohort, TOGETHER.replace("rounds = 2", "rounds = 1"))
    found.change = with_payload(change)
    found.run()
    assert errors_of(found) == [(1, "center-a", ""), (1, "center-d", code)]
    shared = AdapterBank(found.directory.bank).tensors(AdapterBank(found.directory.bank).head("shared"))
    sent = next(reply.payload.tensors for _, reply in found.notes if reply.payload and reply.center == "center-a")
    for key in sent:
        np.testing.assert_allclose(shared[key], sent[key], rtol=1e-6, err_msg="center-a alone counts")


def test_a_center_that_cannot_be_observed_sits_out_a_scheme_that_weighs_by_it(cohort: Path, tmp_path: Path) -> None:
    scheme = '[strategy.aggregation]\nscheme = "lorm"\n[centers.center-a]'
    found = federation(tmp_path, cohort, TOGETHER.replace("[centers.center-a]", scheme))

    def changed(instruction: Instruction, reply: Reply) -> Reply:
        lost = instruction.kind == "observe" and reply.center == "center-d" and instruction.server_round == 0
        return Reply(center=reply.center, kind=reply.kind, error="internal") if lost else reply

    found.change = changed
    found.run()
    assert errors_of(found)[:2] == [(1, "center-a", ""), (1, "center-d", "not-observed")]
    assert errors_of(found)[2:] == [(2, "center-a", ""), (2, "center-d", "")]
    assert sum(query["kind"] == "observe" for query in result_of(found)["queries"]) == 4
