"""When a study will be done, at the pace that it has had so far.

A round is as long as its local steps: t = T / sum of the steps of completed rounds, T the wall time of the study so
far (scoring between stages included), and what is left takes t times the steps of the rounds that are left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from server.study.stage import Stage


@dataclass(frozen=True)
class Estimate:
    """When the last round of stage and study will be done; `round_s`: seconds that a round of the stage takes."""

    round_s: float
    stage_end: datetime
    study_end: datetime


def estimate(stages: Sequence[Stage], server_round: int, elapsed_s: float, measured_at: datetime) -> Estimate | None:
    """The estimate; None before the first completed round and after the last.

    Args:
        stages: of the study, in order.
        server_round: rounds completed so far, counted over the study.
        elapsed_s: wall time of the study when the last of them was completed.
        measured_at: when that was, aware.
    """
    steps = [(number, stage) for number, stage in enumerate(stages) for _ in range(stage.all_rounds)]
    done, left = steps[:server_round], steps[server_round:]
    if not done or not left or elapsed_s <= 0:
        return None
    step_s = elapsed_s / sum(stage.local_steps for _, stage in done)
    current = left[0][0]
    of_stage = sum(stage.local_steps for number, stage in left if number == current)
    of_study = sum(stage.local_steps for _, stage in left)
    return Estimate(
        round_s=step_s * left[0][1].local_steps,
        stage_end=measured_at + timedelta(seconds=step_s * of_stage),
        study_end=measured_at + timedelta(seconds=step_s * of_study),
    )
