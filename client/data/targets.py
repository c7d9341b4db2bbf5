"""What a table says of a case, as the arrays that networks and tasks take."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from client.data.labels import CaseLabels
from client.data.preprocessing import PreparedCase

MISSING = (np.nan, np.nan)


def add_labels(case: PreparedCase, labels: CaseLabels) -> PreparedCase:
    """The case with its class, its times and its covariates; one without a single time has no survival to learn."""
    targets: dict[str, NDArray[Any]] = {}
    if labels.class_index is not None:
        targets["classification"] = np.array(labels.class_index)
    if any(endpoint is not None for endpoint in labels.endpoints):
        targets["survival"] = np.array([MISSING if found is None else found for found in labels.endpoints])
    ehr = None if labels.ehr is None else np.array(labels.ehr, np.float32)
    return replace(case, targets={**case.targets, **targets}, ehr=ehr)
