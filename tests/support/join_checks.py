"""The checks before joining, run on a kit and a home of a test."""

from pathlib import Path
from typing import Any

from client.home.center_home import CenterHome, CenterSettings, membership_of
from client.join.findings import ok
from client.join.preflight import CHECKS, Result, examine
from client.join.situation import Situation
from protocol.enrolment.kit import Kit
from protocol.modalities import IMAGES, Modality
from tests.support.loopback import free_port

CODES = {
    "kit": 10, "home": 21, "clock": 11, "name": 12, "port": 13, "proxy": 14, "tls": 15, "authentication": 16,
    "versions": 17, "privacy": 23, "data": 18, "gpu": 19, "disk": 20, "socket": 22,
}  # fmt: skip


def situation(
    folder: Path,
    of: Kit,
    authority: bytes,
    data: Path | None = None,
    *,
    modalities: tuple[Modality, ...] = IMAGES,
    **changes: Any,
) -> Situation:
    """A home below `folder` that nobody has prepared, on free ports, with a CPU."""
    settings = CenterSettings(data=(data or folder / "data",), port=free_port() // 2 * 2, modalities=modalities)
    home = CenterHome(folder / "home")
    return Situation(
        home, ok("kit"), membership_of(of), authority, settings, device="cpu", contact_timeout_s=3, **changes
    )


def check(of: Situation, *names: str) -> dict[str, Result]:
    """The results of the named checks, of those on the network where none is named."""
    wanted = names or ("clock", "name", "port", "proxy", "tls", "authentication")
    return {result.name: result for result in examine(of, [row for row in CHECKS if row.name in wanted])}


def first_failure(of: Situation) -> str:
    """The first check on the network that fails; empty for none."""
    return next((name for name, result in check(of).items() if result.finding.status == "failed"), "")
