"""What is known of a study in its third round, which waits for one center."""

from server.runs.status import StudyStatus

RUNNING = StudyStatus(
    study="s",
    wanted="running",
    run=None,
    state="running",
    code="",
    reason="",
    stage="adapt",
    stage_round=3,
    stage_rounds=5,
    server_round=2,
    rounds=5,
    waiting_for=("center-a",),
    centers=(),
    metrics=("dice",),
    notes=(),
)
