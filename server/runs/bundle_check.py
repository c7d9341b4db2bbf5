"""Which bundle's code the ServerApp's process runs: the one that is installed here, and no other.

Flower unpacks whatever bundle a run was started with and imports what it names. Whoever could start a run would run
code as the account that serves. The bundle of this installation names an installed app and carries none.
"""

import hashlib
from pathlib import Path
from typing import Any

from protocol.errors import LaunchError, OtherFlowerError
from protocol.flower_internals import run_serverapp
from protocol.flower_sockets import module_of
from server.centers.bundle import bundle_sha256

REPLACED = "install_from_fab"


def check_bundles() -> None:
    """Let Flower unpack no bundle but this installation's; any other fails its run before anything of it is unpacked.

    Raises:
        OtherFlowerError: Flower no longer unpacks where it did.
    """
    module, used = module_of(run_serverapp), run_serverapp.__code__.co_names
    unpack = getattr(module, REPLACED, None)
    if unpack is None or REPLACED not in used:
        raise OtherFlowerError(
            f"this version of Flower does not use {REPLACED} where 1.41 does, so bundles could not be checked; nothing "
            "runs. Install the version of Flower that concilium names"
        )

    def unpack_ours(bundle: bytes, *arguments: Any, **options: Any) -> Path:
        refuse_foreign_bundle(bundle)
        found: Path = unpack(bundle, *arguments, **options)
        return found

    setattr(module, REPLACED, unpack_ours)


def refuse_foreign_bundle(bundle: bytes) -> None:
    """Refuse a bundle that is not this installation's, byte for byte.

    Raises:
        LaunchError: names both hashes.
    """
    found, expected = hashlib.sha256(bundle).hexdigest(), bundle_sha256()
    if found != expected:
        raise LaunchError(
            f"the run was started with bundle {found}, expected {expected}, the one of this installation; nothing of "
            "it was unpacked. Start studies with `concilium launch` or `concilium resume`"
        )
