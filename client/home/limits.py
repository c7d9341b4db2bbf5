"""How much work a center lets one instruction ask for, whatever the study says; each center's own choice.

The defaults are far above honest use. The largest batches of the studies here are 8 crops; the largest network has 119
million values; a whole body at 1 mm is 0.25 billion voxels; a round takes minutes to hours.
"""

from dataclasses import dataclass

MAXIMUM_BATCH = 512
MAXIMUM_HOURS = 72.0


@dataclass(frozen=True)
class WorkLimits:
    """What one instruction may take at most.

    batch: crops, or rows of a table, of a step. hours: of wall time, from the beginning
    of the work on. memory_gib: what network, batch and prepared cases are estimated to need; 0 is what the device has.
    """

    batch: int = MAXIMUM_BATCH
    hours: float = MAXIMUM_HOURS
    memory_gib: float = 0.0


DEFAULT_LIMITS = WorkLimits()
