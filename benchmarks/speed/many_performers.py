"""Who performs for the centers of `many_centers.py`: light centers, or trainers on phantoms; and the time they take."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from client.service.failure import Perform
from protocol.messages.tensors import TensorSpec
from server.study.directory import read_prepared

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where light centers and their studies lie

HEAVY_PATIENTS = 10


class Timed:
    """Apps of centers in this process, and the seconds of the processor that they took."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wrap(self, app: ClientApp) -> ClientApp:
        """The app with its time taken."""
        return partial(self._call, app)  # type: ignore[return-value]

    def _call(self, app: ClientApp, message: Message, context: Context) -> Message:
        begun = time.thread_time()
        try:
            return app(message, context)
        finally:
            self.seconds += time.thread_time() - begun


def perform_lightly(root: Path, center: str) -> Perform:
    """What performs for a light center."""
    from light_center import LightCenter

    return LightCenter(center, specs_of(root)).perform


@cache
def specs_of(root: Path) -> Sequence[TensorSpec]:
    """The study's tensors, read once for all centers of a process."""
    return read_prepared(root).specs


def perform_in_earnest(root: Path, data: Path, center: str) -> Perform:
    """What performs for a center with a trainer and cases of its own."""
    import torch

    from deploy.simulation.local import make_trainer

    torch.set_num_threads(1)
    return make_trainer(read_prepared(root).study, data, root, "cpu", center).perform


def write_cases(data: Path, centers: Sequence[str]) -> None:
    """Phantoms for each center."""
    from client.data.synthetic import CENTERS, write_synthetic_cohort

    made = [replace(CENTERS[0], name=center, patients=HEAVY_PATIENTS) for center in centers]
    write_synthetic_cohort(data, centers=made, seed=0)
