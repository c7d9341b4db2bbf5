"""In which bits a center runs its networks: what a study asks for, as far as the device has instructions for it.

bfloat16 is float32 with 16 of its 24 significant bits cut off. Under autocast the products of matrices and convolutions
take it; what trains, the optimiser, losses and selective scans stay float32, and what leaves the network is widened.
"""

import logging
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch

from protocol.messages.recipe import Precision

logger = logging.getLogger(__name__)

FLOAT32: AbstractContextManager[object] = nullcontext()
"""Within it nothing is changed."""
CPU_INSTRUCTIONS = ("amx_bf16", "avx512_bf16")
"""Without them torch computes with bfloat16 too, several times slower than with float32."""


def available_precision(device: str) -> Precision:
    """The narrowest numbers that a device ("cpu", "cuda:0") computes with by its own instructions."""
    kind = torch.device(device).type
    if kind == "cuda":
        narrow = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        found = torch.cpu.get_capabilities()
        narrow = kind == "cpu" and any(found.get(name, False) for name in CPU_INSTRUCTIONS)
    return "bfloat16" if narrow else "float32"


@cache
def choose_precision(wanted: Precision, device: str, work: str) -> Precision:
    """What is wanted where the device has it, else float32; a choice is logged once a process for each work and device.

    Args:
        wanted: by the study. device: where networks run. work: what they do there, "training" or "prediction".
    """
    chosen: Precision = "float32" if wanted == "float32" else available_precision(device)
    if chosen == wanted:
        logger.info("%s computes in %s on %s", work, chosen, device)
    else:
        logger.warning("%s computes in %s on %s, which has no instructions for %s", work, chosen, device, wanted)
    return chosen


def compute_in(precision: Precision, device: str) -> AbstractContextManager[object]:
    """Within it, matrix products and convolutions take this precision on the device; it can be entered many times.

    What comes out of a network may be of half precision then: losses widen it themselves (`compute_in_float32`).
    """
    return FLOAT32 if precision == "float32" else torch.autocast(torch.device(device).type, dtype=torch.bfloat16)
