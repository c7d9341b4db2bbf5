"""The bank's router on disk: one router for each set of feature blocks a scan may have, sealed by its hash.

ROOT/router.json    {"features.ct": router, "features.ct+features.pet": router, ...}
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from protocol.errors import BankError
from protocol.messages.tensors import Tensors
from protocol.storage.atomic_files import write_private
from protocol.storage.sealed_json import read_sealed, seal
from strategies.bank.told import Tell, digest, tell_nobody
from strategies.continual.prototypes import prototypes_of
from strategies.continual.router import Router, fit

logger = logging.getLogger(__name__)

ROUTER_FILE = "router.json"
BLOCKS = (("features.ct",), ("features.pet",), ("features.ct", "features.pet"))
SHRINKAGE = 0.2


def write_routers(root: Path, own: Mapping[str, Tensors], tell: Tell = tell_nobody) -> None:
    """Fit and write a router for every set of blocks that at least one center has; where none can be fitted, say so.

    Args:
        root: the bank's.
        own: center -> what is kept of it, its prototypes among it.
        tell: told the SHA-256 of the file before it is written, where it is another than the one there.

    Raises:
        StorageError: the disk refuses.
    """
    routers = {}
    for blocks in BLOCKS:
        if found := prototypes_of(own, blocks):
            try:
                routers["+".join(blocks)] = to_json(fit(found, shrinkage=SHRINKAGE))
            except ValueError as error:
                logger.warning("no router for scans with %s: %s", "+".join(blocks), error)
    if not routers:
        return
    path, data = root / ROUTER_FILE, seal(routers)
    if not path.is_file() or path.read_bytes() != data:
        tell("router", {"sha256": digest(data)})
        write_private(path, data)


def remove_routers(root: Path, tell: Tell) -> None:
    """Remove the bank's routers; of a bank without any nothing is told.

    Raises:
        OSError: they cannot be removed; it can be done again.
    """
    if (root / ROUTER_FILE).exists():
        tell("router", {"sha256": ""})
        (root / ROUTER_FILE).unlink()


def read_routers(root: Path) -> dict[str, Router]:
    """The routers of a bank, by their blocks.

    Raises:
        BankError: there is none, or the file is damaged.
    """
    if not (root / ROUTER_FILE).is_file():
        raise BankError(f"bank {root} has no {ROUTER_FILE}; run the study with router = true in [strategy]")
    return {blocks: from_json(content) for blocks, content in read_sealed(root / ROUTER_FILE).items()}


def to_json(router: Router) -> dict[str, Any]:
    """A router as a JSON object; every float64 survives unchanged."""
    return {
        "centers": list(router.centers),
        "temperature": router.temperature,
        **{name: getattr(router, name).tolist() for name in ("counts", "offset", "projection", "positions")},
    }


def from_json(content: Mapping[str, Any]) -> Router:
    """The router that `to_json` wrote.

    Raises:
        BankError: a field is missing, or sizes contradict each other.
    """
    try:
        counts, offset, projection, positions = (
            np.array(content[name], dtype=np.float64) for name in ("counts", "offset", "projection", "positions")
        )
        router = Router(tuple(content["centers"]), counts, offset, projection, positions, float(content["temperature"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BankError(f"router cannot be read ({error!r}); fit it again from the bank's prototypes") from error
    centers, components = len(router.centers), len(projection)
    expected = ((centers,), (components, offset.size), (centers, components))
    found = (counts.shape, projection.shape, positions.shape)
    if found != expected or offset.ndim != 1 or not centers:
        raise BankError(
            f"router of {centers} centers has counts, projection and positions {found}, expected {expected}; fit it "
            "again from the bank's prototypes"
        )
    return router
