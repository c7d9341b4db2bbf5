"""Which of a center's rounds its optimiser goes on from, where a recipe keeps its moments."""

from server.study.history import History
from server.study.stage import Stage


def last_counted(history: History, stage: Stage, center: str) -> int:
    """The last round of a stage in which a center's update counted; 0 where there is none, or it was undone since.

    The updates of a round that found a fall count as little as those of the round before it, which are undone.
    """
    rounds = [
        record.server_round
        for record in history.rounds
        if (record.stage, record.center, record.error) == (stage.name, center, "")
    ]
    last = max(rounds, default=0)
    undone = any(record.restored_round < last <= record.server_round for record in history.rollbacks)
    return 0 if undone else last
