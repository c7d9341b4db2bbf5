"""A center of four patients, two of whom train, and the version of a bank that it attacks."""

from dataclasses import replace
from pathlib import Path

from client.audit.pool import AuditPool, gather
from client.audit.target import AuditTarget, shadow_training, target_of
from client.data.manifest import Manifest
from client.data.preprocessing import PreparedCase
from protocol.messages.instruction import Part
from protocol.messages.settings import Training
from tests.support import center_page
from tests.support.small_bank import write_bank
from tests.support.small_training import TASK, made

STAGE = Training(groups=("pet", "peft"), local_steps=9, learning_rate=1e-3, modality_shares={"ct+pet": 1.0})
PARTS: dict[Part, tuple[str, ...]] = {"train": ("a", "b"), "validation": ("c",), "test": ("d",)}


def prepared() -> dict[Part, list[PreparedCase]]:
    cases = {name: made(name, "ct+pet", seed) for seed, name in enumerate("abcd")}
    return {part: [cases[name] for name in names] for part, names in PARTS.items()}


def manifest_of(patients: dict[str, str] | None = None) -> Manifest:
    found = [center_page.case(name, "ct", "pet", "gtv") for name in "abcd"]
    whose = patients or {}
    return Manifest("center-a", tuple(replace(case, patient=whose.get(case.name, case.name)) for case in found))


def pool() -> AuditPool:
    return gather(manifest_of(), prepared(), TASK)


def target(folder: Path, steps: int = 1) -> AuditTarget:
    """The shared adapter of the small bank, whose shadows take so many steps."""
    return target_of(write_bank(folder), "shared", None, "segmentation", shadow_training(STAGE, steps), device="cpu")
