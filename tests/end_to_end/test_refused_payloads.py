"""What a center sends and may not: it is refused by name, and the round goes on without it."""

from collections.abc import Callable
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

pytestmark = pytest.mark.usefixtures("no_report")


def _moved_factor(instruction: Instruction, payload: Payload) -> Payload:
    moved = {key: array + 1 for key, array in instruction.tensors.items() if key.endswith("#lora_a")}
    return replace(payload, tensors={**payload.tensors, **moved})


def _first(payload: Payload, value: float) -> dict[str, Any]:
    key = next(key for key in sorted(payload.tensors) if key.endswith("#magnitude"))
    array = np.array(payload.tensors[key])
    array.flat[0] = value
    return {**payload.tensors, key: array}


Change = Callable[[Instruction, Payload], Payload]
REFUSED: tuple[tuple[str, Change, str], ...] = (
    ("other round", lambda _, p: replace(p, server_round=p.server_round - 1), "late"),
    ("frozen factor sent", _moved_factor, "phase"),
    ("frozen factor moved", lambda _, p: replace(p, frozen_hash="0" * 64), "frozen-moved"),
    ("other phase", lambda _, p: replace(p, phase="lora_a"), "phase"),
    ("other backbone", lambda _, p: replace(p, backbone_hash="1" * 64), "other-backbone"),
    ("other stage", lambda _, p: replace(p, stage="pretrain"), "payload"),
    ("weight inflation", lambda _, p: replace(p, support={"peft": 99}), "support"),
    ("nan", lambda _, p: replace(p, tensors=_first(p, float("nan"))), "non-finite"),
    ("negative gain", lambda _, p: replace(p, tensors=_first(p, -1.0)), "norm"),
    ("vanishing gain", lambda _, p: replace(p, tensors=_first(p, 1e-9)), "norm"),
    ("other rank", lambda _, p: replace(p, tensors={key: array[:1] for key, array in p.tensors.items()}), "payload"),
)
"""What center-d does to its payload, one thing a round, and the name under which it is refused."""


def _as_told(instruction: Instruction, reply: Reply) -> Reply:
    if reply.center != "center-d" or reply.payload is None:
        return reply
    _, change, _ = REFUSED[instruction.server_round - 1]
    return replace(reply, payload=change(instruction, reply.payload))


def test_what_may_not_enter_is_refused_by_name_and_each_round_goes_on(cohort: Path, tmp_path: Path) -> None:
    """B trains in every round; what center-a sent is what everybody gets next."""
    text = TOGETHER.replace("rounds = 2", f"rounds = {len(REFUSED)}\nvalidate_every = 0")
    only_b = "[strategy.aggregation]\nphases = ['b']\n[centers.center-a]"
    found = federation(tmp_path, cohort, text.replace("[centers.center-a]", only_b))
    found.change = _as_told
    found.run()
    codes = {REFUSED[round_ - 1][0]: code for round_, center, code in errors_of(found) if center == "center-d"}
    assert codes == {name: code for name, _, code in REFUSED}
    assert [code for _, center, code in errors_of(found) if center == "center-a"] == [""] * len(REFUSED)
    of_a = [(i, r.payload) for i, r in found.notes if i.kind == "train" and r.center == "center-a"]
    bank = AdapterBank(found.directory.bank)
    shared = [*(instruction.tensors for instruction, _ in of_a[1:]), bank.tensors(bank.head("shared"))]
    for (_, sent), got in zip(of_a, shared, strict=True):
        assert sent is not None
        for key, array in sent.tensors.items():
            np.testing.assert_allclose(got[key], array, rtol=1e-6, err_msg="center-a alone counts")


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
