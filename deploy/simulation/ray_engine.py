"""Many centers on one machine or a Ray cluster: Flower's simulation engine, several centers at once.

Ray is the extra `concilium[ray]`. Centers run in Ray's worker processes, each of which builds a center's trainer when
it first meets that center and keeps it warm. Flower marks `run_simulation` as deprecated in favour of `flwr run`,
which needs a daemon and a bundle; here it takes our two apps as objects, so that no run config is needed.
"""

import importlib
import os
from collections.abc import Callable, Sequence

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from client.app import build_client_app_per_node
from client.service.failure import Perform
from deploy.supervision.telemetry import SWITCHED_OFF
from protocol.errors import ConciliumError
from protocol.flower_internals import run_simulation, telemetry

PerformFor = Callable[[str], Perform]

_WARM: dict[str, Perform] = {}


class EngineError(ConciliumError):
    """The engine asked for is not there."""

    code = "engine"


def run_with_ray(
    study: Callable[[Grid], None],
    perform_for: PerformFor,
    centers: Sequence[str],
    *,
    gpus_per_center: float = 0.0,
) -> None:
    """Run a study over Flower's simulation engine and return when it is done.

    Nodes are nameless here: the study registers its centers through `CenterGrid.register` first.

    Args:
        study: what the ServerApp does with the grid; runs in a thread of this process.
        perform_for: builds who performs for a center, in a worker process; must be picklable (a module's function
            or a `functools.partial` of one) and every name it gives must be in `centers`.
        centers: center names, one node each.
        gpus_per_center: GPUs, or a share of one.

    Raises:
        EngineError: Ray is not installed.
        ConciliumError: whatever `study` raises.
    """
    _require_ray()
    _keep_to_ourselves()
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, _context: Context) -> None:
        study(grid)

    run_simulation(
        server_app=server_app,
        client_app=_client_app(perform_for, tuple(centers)),
        num_supernodes=len(centers),
        backend_config={"client_resources": {"num_cpus": 1.0, "num_gpus": gpus_per_center}},
    )


def _client_app(perform_for: PerformFor, centers: tuple[str, ...]) -> ClientApp:
    """One app for all nodes; a node's partition number says which center it is."""

    def perform_at(context: Context) -> Perform:
        return _warm(perform_for, centers[int(context.node_config["partition-id"])])

    return build_client_app_per_node(perform_at)


def _warm(perform_for: PerformFor, center: str) -> Perform:
    """Who performs for a center in this worker process, built once."""
    if center not in _WARM:
        _WARM[center] = perform_for(center)
    return _WARM[center]


def _require_ray() -> None:
    try:
        importlib.import_module("ray")
    except ImportError as error:
        raise EngineError(
            "the Ray engine needs Ray, which is not installed; install the extra with "
            "`pip install 'concilium[ray]'`, or leave out `--engine ray`"
        ) from error


def _keep_to_ourselves() -> None:
    """Turn the usage reports of Ray and Flower off; Flower has read its variable at import already."""
    os.environ.update(SWITCHED_OFF)
    telemetry.FLWR_TELEMETRY_ENABLED = SWITCHED_OFF["FLWR_TELEMETRY_ENABLED"]
