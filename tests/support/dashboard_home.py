"""The home of a center that joined, with cases, logs and what federation brought it, for its own page."""

from pathlib import Path

from client.data.checks import Issue
from client.data.manifest import Manifest
from client.data.manifest_file import write_manifest
from client.home.center_home import CenterHome, CenterSettings, write_settings
from client.outgoing.outgoing_log import LOG
from client.scores.score_log import record_benefits, record_scores
from protocol.messages.benefit import Benefit
from protocol.messages.scores import Comparison
from tests.support.center_page import case, save_prediction
from tests.support.joined_home import joined_home
from tests.support.outgoing_logs import SCORED, TRAIN, TRAINED, send
from tests.support.predicted_case import CT, LESION
from tests.support.segmentation_task import row

HELPED = Benefit("segmentation", "ct+pet", "local-only", 4, Comparison(4, 0.25, 0.0))
OPEN = Benefit("segmentation", "ct+pet", "ct-network", 4, Comparison(4, 0.02, 0.05))


def dashboard_home(root: Path) -> CenterHome:
    """A home whose trainer is not there: two cases, two replies that left, one row of scores."""
    home = joined_home(root)
    write_settings(home, CenterSettings(center="center-a", data=(root / "data",)))
    late = case("p2", "ct", issues=(Issue("pet-missing", "p2", "PET is missing", "warning"),))
    write_manifest(Manifest("center-a", (case("p1", "ct", "pet", "gtv"), late)), home.trainer / "manifest.json")
    send(TRAINED, home.trainer / LOG, TRAIN)
    send(SCORED, home.trainer / LOG)
    record_scores(home.trainer, "adapt", {"segmentation": [row("p1", "ct+pet", 0.75, 4.0)]})
    save_prediction(home.trainer, "p1", ct=CT, gtv=LESION)
    record_benefits(home.trainer, "adapt", [OPEN, HELPED])
    return home
