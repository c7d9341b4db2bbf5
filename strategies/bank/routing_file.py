"""The bank's router on disk: one router for each set of feature blocks a scan may have, sealed by its hash.

ROOT/router.json    {"features.ct": router, "features.ct+features.pet": router, ...}
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from protocol.errors import BankError
from protocol.messages.tensors import Tensors
from protocol.storage.atomic_files import write_bytes
from protocol.storage.sealed_json import read_sealed, sealed
from strategies.continual.prototypes import prototypes_of
from strategies.continual.router import Router, fit, from_json, to_json

logger = logging.getLogger(__name__)

ROUTER_FILE = "router.json"
BLOCKS = (("features.ct",), ("features.pet",), ("features.ct", "features.pet"))
SHRINKAGE = 0.2


def write_routers(root: Path, own: Mapping[str, Tensors]) -> None:
    """Fit and write a router for every set of blocks that at least one center has; where none can be fitted, say so."""
    routers = {}
    for blocks in BLOCKS:
        if found := prototypes_of(own, blocks):
            try:
                routers["+".join(blocks)] = to_json(fit(found, shrinkage=SHRINKAGE))
            except ValueError as error:
                logger.warning("no router for scans with %s: %s", "+".join(blocks), error)
    if routers:
        write_bytes(root / ROUTER_FILE, sealed(routers))


def read_routers(root: Path) -> dict[str, Router]:
    """The routers of a bank, by their blocks.

    Raises:
        BankError: there is none, or the file is damaged.
    """
    if not (root / ROUTER_FILE).is_file():
        raise BankError(f"bank {root} has no {ROUTER_FILE}; run the study with router = true in [strategy]")
    return {blocks: from_json(content) for blocks, content in read_sealed(root / ROUTER_FILE).items()}
