"""All that the checks before joining may look at: home, membership, settings, and what is found out when asked."""

import json
import logging
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import httpx

from client.home.center_home import CenterHome, CenterSettings, Membership
from client.join.contact import Contact, make_contact
from client.join.findings import Finding
from client.node.fleet_api import Standing, fleet_api
from client.node.node_key import read_node_key
from client.node.renewal import adopt_accepted_key
from protocol.errors import ConciliumError
from protocol.storage.atomic_files import write_private_text

if TYPE_CHECKING:
    from client.data.checks import Issue
    from client.data.manifest import Manifest
    from protocol.messages.instruction import Part

logger = logging.getLogger(__name__)

PATIENCE_S, AWAY_S = 75.0, 240.0
PASSING = frozenset({"online", "down", "unreachable"})
"""What ends by itself: a node that times out, a SuperLink that starts anew."""
ASK_AGAIN_S = 5.0
GPU_PROBE_S = 120.0
GPU_PROBE = """
import json, torch
found = {"cuda": torch.cuda.is_available()}
if found["cuda"]:
    free, total = torch.cuda.mem_get_info()
    found |= {"name": torch.cuda.get_device_name(), "free": free, "total": total}
print(json.dumps(found))
"""


@dataclass(frozen=True)
class KeyStanding:
    """What the coordinator said about this center's key."""

    standing: Standing | Literal["unreachable"]
    node_id: int = 0
    version_warning: str = ""
    error: str = ""


@dataclass(frozen=True)
class Situation:
    """All that the checks look at; what takes time is found once, when a check first asks.

    kit_finding: what was found when the kit was read; membership and authority are None where that failed.
    home_error: why this home cannot be used, empty where it can. settings: None where no data folder is known.
    device: what was asked for, "auto" included. patience_s: how long a key that is connected elsewhere may take to
    time out, and a SuperLink that is away to be back. away_s: likewise of a coordinator that refuses connections, where
    it has accepted this home's key before: one that was never reached may never be.
    """

    home: CenterHome
    kit_finding: Finding
    membership: Membership | None = None
    authority: bytes | None = None
    settings: CenterSettings | None = None
    home_error: str = ""
    device: str = "auto"
    patience_s: float = PATIENCE_S
    away_s: float = AWAY_S
    contact_timeout_s: float = 10.0

    @cached_property
    def contact(self) -> Contact | None:
        """The way to the coordinator; None where it is not known whom to reach."""
        if self.membership is None or self.authority is None:
            return None
        found = make_contact(self.membership.endpoint, self.authority, self.contact_timeout_s)
        away_s = self.away_s if self.node_id and not self.home_error else 0.0
        ends_at = time.monotonic() + away_s
        if found.connect_error and away_s:
            logger.warning("%s does not answer (%s); waits %.0f s for it", found.first_hop, found.connect_error, away_s)
        while found.connect_error and time.monotonic() < ends_at:
            time.sleep(ASK_AGAIN_S)
            found = make_contact(self.membership.endpoint, self.authority, self.contact_timeout_s)
        return found

    @cached_property
    def key_standing(self) -> KeyStanding | None:
        """The coordinator's word about the key; None where it cannot be asked or there is no key yet."""
        contact = self.contact
        if contact is None or contact.presented is None or contact.tls_error or not self.home.key.exists():
            return None
        patience_s = 0.0 if self.home_error else self.patience_s
        ends_at = time.monotonic() + patience_s
        found = self._ask()
        while found.standing in PASSING and time.monotonic() < ends_at:
            time.sleep(ASK_AGAIN_S)
            found = self._ask()
        if found.standing == "unknown" and adopt_accepted_key(self.home):
            found = self._ask()
        if found.standing == "accepted":
            write_private_text(self.home.node_id, f"{found.node_id}\n")
        return found

    @cached_property
    def manifest(self) -> "Manifest | None":
        """The center's cases, with the labels of the study; None where no data folder is known.

        The network side never asks.
        """
        from client.data.scan import scan_center

        if self.settings is None or not self.settings.data:
            return None
        if self.membership is None:
            return scan_center("center", self.settings.data, self.settings.modalities)
        agreed = self.membership.agreement
        return scan_center(
            self.membership.center, self.settings.data, self.settings.modalities, agreed.settings.labels, agreed.rows
        )

    @cached_property
    def faults_of_labels(self) -> "tuple[Issue, ...]":
        """What is wrong with the center's labels that no study may begin with."""
        from client.data.label_checks import to_mend, training_issues

        if self.manifest is None or self.membership is None:
            return ()
        settings = self.membership.agreement.settings
        return tuple(to_mend([*self.manifest.all_issues, *training_issues(self.manifest, self.parts, settings)]))

    @cached_property
    def parts(self) -> "Mapping[str, Part]":
        """The part of each case in the study's split, as it was fixed here or would be drawn; none without a kit."""
        from client.data.split_file import fixed_parts

        if self.manifest is None or self.membership is None:
            return {}
        return fixed_parts(self.manifest, self.membership.agreement.settings, self.home.trainer)

    @cached_property
    def gpu(self) -> Mapping[str, Any]:
        """What torch says of the GPU, asked in a process of its own: "cuda", "name", "free", "total" (bytes)."""
        try:
            found = subprocess.run(  # noqa: S603 - this interpreter, a fixed text
                [sys.executable, "-c", GPU_PROBE], capture_output=True, timeout=GPU_PROBE_S, check=True, text=True
            )
            result: Mapping[str, Any] = json.loads(found.stdout.strip().splitlines()[-1])
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            return {"cuda": False}
        return result

    @property
    def node_id(self) -> int:
        """The node's number that this home was told when its key was first accepted; 0 for none."""
        try:
            return int(self.home.node_id.read_text())
        except (OSError, ValueError):
            return 0

    def _ask(self) -> KeyStanding:
        if self.membership is None or self.authority is None:
            return KeyStanding("unreachable", error="no kit")
        try:
            with fleet_api(self.membership.endpoint, self.authority, read_node_key(self.home.key)) as api:
                standing, node_id = api.standing(self.node_id)
                return KeyStanding(standing, node_id, api.version_warning)
        except (httpx.HTTPError, ConciliumError, ValueError) as error:
            return KeyStanding("unreachable", error=str(error) or type(error).__name__)
