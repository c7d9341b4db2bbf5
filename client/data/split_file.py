"""The split of a study, fixed on the center's disk when it is first drawn.

A folder that gains or loses a patient later moves nobody from one part to another: known patients keep their part,
new ones train. Otherwise a resumed study could test on patients it was trained on.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from client.data.manifest import Manifest
from client.data.split import parts
from protocol.messages.instruction import Part
from protocol.messages.settings import Split
from protocol.storage.atomic_files import write_text


def draw_parts_once(manifest: Manifest, *, seed: int, split: Split, folder: Path) -> dict[str, Part]:
    """The part of every usable case that has a mask, by case name; drawn and written at the first call.

    Raises:
        StorageError: the split could not be written.
    """
    path = folder / f"split-{seed}-{split.validation:g}-{split.test:g}.json"
    drawn = parts(manifest, seed=seed, split=split)
    if path.exists():
        fixed: Mapping[str, Part] = json.loads(path.read_text())
        return {case: fixed.get(case, "train") for case in drawn}
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(dict(sorted(drawn.items())), indent=1))
    return dict(drawn)
