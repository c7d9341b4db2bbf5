"""Study files for tests: what all of them say stands once. Each test adds its own lines, or replaces one of these."""

import json
from collections.abc import Iterable, Mapping

STAGE = """
[[stages]]
name = "{name}"
kind = "{kind}"
centers = {centers}
rounds = {rounds}
local_steps = {local_steps}
learning_rate = 1e-3
"""
NETWORK = """
[model]
name = "pemma-unetr-tiny"

[adapter]
rank = 2
alpha = 4

[preprocessing]
spacing_zyx_mm = [10.0, 10.0, 10.0]
crop_zyx = [16, 16, 16]
"""
"""The tiniest network on the coarsest grid."""
QUARTERS = """
[split]
validation = 0.25
test = 0.25
"""
"""Of four cases, two train."""
NO_GATE = """
[strategy]
gate = false
"""
SYNTHETIC = 'formed_by = "synthetic cohort; centers are settings of simulated scanners"\nsynthetic = true'


def head_text(name: str, title: str, *lines: str) -> str:
    """The first lines of a study of synthetic cases."""
    return "\n".join(["", f'name = "{name}"', f'title = "{title}"', SYNTHETIC, *lines, ""])


def centers_text(names: Iterable[str], lines: Mapping[str, str] | None = None) -> str:
    """A table for each center, some with a line of their own."""
    own = lines or {}
    return "\n" + "".join(f"[centers.{name}]\n{own[name] + chr(10) if name in own else ''}" for name in names)


def stage_text(name: str, centers: Iterable[str], *, kind: str = "adapt", rounds: int = 1, local_steps: int = 2) -> str:
    """A stage in which these centers train."""
    return STAGE.format(name=name, kind=kind, centers=json.dumps(list(centers)), rounds=rounds, local_steps=local_steps)
