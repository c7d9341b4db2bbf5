"""A round of seven light centers that learn much the same, one of which a test makes a liar."""

from pathlib import Path

import numpy as np

from protocol.local_steps import reach_of
from protocol.messages.payload import Payload
from server.rounds.round_end import conclude
from server.rounds.weighing import agree
from server.study.checkpoint import Checkpoint
from tests.support.ended_round import Change, Ended, end_round
from tests.support.hostile_updates import Sent
from tests.support.light_study import CASES, STUDY
from tests.support.study_text import centers_text, stage_text

SEVEN = "abcdefg"
LIAR = "d"
COMMON, NOISE = 0.3, 0.1
"""Of what a round can do to an entry."""


def seven_centers(robust: str = "", *lines: str, names: str = SEVEN) -> str:
    """The light study of seven, under a robust rule where one is given."""
    head = STUDY.partition("[centers.")[0]
    rule = [f"robust = {{ {robust} }}"] if robust else []
    aggregation = "\n".join(["[strategy.aggregation]", *rule, *lines, ""])
    return head + aggregation + centers_text(names) + stage_text("adapt", names, kind="arrive", rounds=3, local_steps=1)


def learn(name: str, far: float) -> Change:
    """What all centers learn, and a little that is a center's own; `far` is what a round can do to an entry."""

    def change(payload: Payload, received: Sent) -> Payload:
        moved = {}
        for key, array in payload.tensors.items():
            common = np.random.default_rng(1).choice([-1.0, 1.0], array.shape)
            own = np.random.default_rng([*name.encode()]).uniform(-1, 1, array.shape)
            moved[key] = (received[key] + far * (COMMON * common + NOISE * own)).astype(np.float32)
        return Payload(**{**payload.__dict__, "tensors": moved})

    return change


def attacked(folder: Path, text: str, attack: Change | None = None, names: str = SEVEN) -> Ended:
    """A round in which the liar attacks; nobody does where no attack is given."""
    changes = {name: _after(learn(name, 2e-4), attack if name == LIAR else None) for name in names}
    ended = end_round(folder, changes, text, names)
    assert reach_of(ended.under_way.training).move >= 2e-4
    return ended


def concluded(ended: Ended, cases: int = CASES) -> Checkpoint:
    """The state after the round; the liar registered with so many cases."""
    names = [record.center for record in ended.records]
    registered = {name: {"train": cases if name == LIAR else CASES, "validation": CASES} for name in names}
    return conclude(ended.under_way, agree(ended.entered.state, registered), ended.records, ended.inbox)


def _after(first: Change, second: Change | None) -> Change:
    if second is None:
        return first
    return lambda payload, received: second(first(payload, received), received)
