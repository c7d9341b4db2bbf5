"""The first round of a light study with its answers in, ready to be concluded."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protocol.messages.payload import Payload
from server.grid.center_answer import CenterAnswer
from server.rounds.inbox import Inbox
from server.rounds.records import record_of
from server.rounds.round_under_way import RoundUnderWay
from server.study.history import RoundRecord
from tests.support.entered_study import Entered, enter
from tests.support.light_study import CASES, STUDY, LightCenter

THREE = (
    STUDY.replace('centers = ["a", "b"]', 'centers = ["a", "b", "c"]')
    .replace("[centers.b]\n", "[centers.b]\n[centers.c]\n")
    .replace("quorum = 1", "quorum = 2")
)
Change = Callable[[Payload, Mapping[str, NDArray[np.float32]]], Payload]


@dataclass(frozen=True)
class Ended:
    """A round whose answers are in."""

    entered: Entered
    under_way: RoundUnderWay
    records: tuple[RoundRecord, ...]
    inbox: Inbox

    def record(self, center: str) -> RoundRecord:
        return next(record for record in self.records if record.center == center)


def three_centers(scheme: str = "fedit") -> str:
    """The light study with three centers and a scheme."""
    return THREE.replace("gate = false", f'gate = false\n[strategy.aggregation]\nscheme = "{scheme}"')


def end_round(folder: Path, changes: Mapping[str, Change], text: str = "", names: Iterable[str] = "abc") -> Ended:
    """Let centers train; what some of them send is changed on its way."""
    entered = enter(folder, text or three_centers())
    training = entered.prepared.study.training_in(entered.builder.stage, 0)
    under_way, inbox, records = RoundUnderWay(entered.builder, training, 1), Inbox(folder / "inbox"), []
    for name in names:
        center = LightCenter(name, folder / "centers" / name)
        center.backbones.add(entered.state.backbone_hash)
        instruction = entered.builder.training(entered.state, name, training, 1)
        reply = center.perform(instruction)
        assert reply.payload is not None
        if name in changes:
            reply = replace(reply, payload=changes[name](reply.payload, instruction.tensors))
        norms, error = under_way.check(reply, entered.state, CASES)
        if not error and reply.payload is not None:
            inbox.put(reply.payload)
        records.append(record_of(CenterAnswer(reply), entered.builder.stage, 1, error, norms))
    return Ended(entered, under_way, tuple(records), inbox)
