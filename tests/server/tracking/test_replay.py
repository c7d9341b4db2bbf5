import json

import pytest
from mlflow.tracking import MlflowClient

from protocol.errors import StudyError
from server.study import checkpoint as checkpoints
from server.study.directory import StudyDirectory
from server.tracking.replay import replay
from tests.support.light_study import light
from tests.support.tracked_study import state_after


@pytest.fixture
def begun(tmp_path):
    """A study with one round that no MLflow has heard of."""
    directory = light(tmp_path).directory
    checkpoints.save(directory.checkpoint, state_after((), backbone_hash="ab" * 32))
    return directory


def test_a_study_that_has_not_begun_is_refused(tmp_path):
    root = light(tmp_path).root
    with pytest.raises(StudyError, match="has not begun"):
        replay(root, None)


@pytest.mark.parametrize(("ended", "status"), [("complete", "FINISHED"), ("failed", "FAILED"), (None, "KILLED")])
def test_a_study_is_sent_with_how_it_ended_and_the_checkpoint_keeps_its_runs(
    begun: StudyDirectory, ended: str | None, status: str
):
    if ended:
        begun.result.write_text(json.dumps({"status": ended}))
    tracker = replay(begun.root, None)
    runs = [MlflowClient(tracker.uri).get_run(run_id) for run_id in tracker.run_ids.values()]
    assert {run.info.status for run in runs} == {status}
    assert {run.data.params["backbone_hash"] for run in runs} == {"ab" * 32}
    kept = checkpoints.load(begun.checkpoint)
    assert kept is not None
    assert kept.tracking == tracker.run_ids
