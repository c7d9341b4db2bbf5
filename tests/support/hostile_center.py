"""A light study of four centers, one of which answers honestly but for what a test puts in an answer's place."""

from collections.abc import Callable, Container, Mapping
from pathlib import Path

from flwr.app import Message, RecordDict

from protocol.errors import CancelledError
from protocol.messages.instruction import Instruction
from tests.support.light_study import STUDY, ComingAndGoing, Light, light
from tests.support.reply_damage import Hostile, text_of
from tests.support.study_text import centers_text, stage_text

CENTERS = ("a", "b", "c", "d")
HOSTILE = "d"
Asked = tuple[str, str, int]
"""Kind, stage and round of an instruction."""


class HostileGrid(ComingAndGoing):
    """Nodes as they are, with answers of one center replaced on their way.

    hostile: what was asked -> what becomes of the records that answer it.
    """

    hostile: Mapping[Asked, Hostile] = {}

    def _answer(self, node_id: int, message: Message) -> Message:
        reply = super()._answer(node_id, message)
        if self._names[node_id] == HOSTILE and reply.has_content() and message.has_content():
            asked = text_of(message.content)
            change = self.hostile.get((asked["kind"], asked["stage"], asked["server_round"]))
            if change is not None:
                reply.content = _copied(change(_copied(reply.content)))
        return reply


def hostile_study(folder: Path, hostile: Mapping[Asked, Hostile], *, rounds: int) -> Light:
    """A study in which center d answers so."""
    head = STUDY.partition("[centers.")[0]
    text = head + centers_text(CENTERS) + stage_text("adapt", CENTERS, kind="arrive", rounds=rounds, local_steps=1)
    study = light(folder, text, CENTERS)
    study.grid = HostileGrid(study.centers.values())
    study.grid.hostile = hostile
    return study


def absent_in(rounds: Container[int]) -> Callable[[Instruction], None]:
    """What a center does that trains in all rounds but these."""

    def before(instruction: Instruction) -> None:
        if instruction.kind == "train" and instruction.server_round in rounds:
            raise CancelledError("not here")

    return before


def _copied(content: RecordDict) -> RecordDict:
    return RecordDict(dict(content))
