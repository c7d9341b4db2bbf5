"""What the libraries would report to their makers, and what Flower would install by itself: all switched off.

The libraries read these variables when they are imported, so that every command sets them first. Container and compose
files, units and manifests have them by heart; tests compare them with this list, MLflow's own with its one variable.
"""

import os
from collections.abc import Mapping

SWITCHED_OFF: Mapping[str, str] = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def switch_off_telemetry() -> None:
    """Let nothing in this process or what it starts call home; a variable that is set keeps its value."""
    for name, value in SWITCHED_OFF.items():
        os.environ.setdefault(name, value)
