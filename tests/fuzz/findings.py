"""Inputs that once gave something else than a documented error, each with what it was; never taken out."""

from collections.abc import Mapping
from pathlib import Path

PLAN = (Path(__file__).parents[2] / "studies" / "sts-arms-benchmark.toml").read_bytes()
DEEP = 10_000

FINDINGS: Mapping[str, tuple[str, bytes]] = {
    "a text nested without end (kit)": ("kit", b"[" * DEEP),
    "a text nested without end in a signed kit": ("kit", b"\x01" + b'{"a":' * DEEP),
    "a header nested without end": ("reply", (2 * DEEP).to_bytes(8, "little") + b"[" * DEEP),
    "a text nested without end (reply)": ("reply", b"\x02" + DEEP.to_bytes(4, "little") + b"[" * DEEP),
    "a stage whose centers are a number": ("text", b"\x05" + PLAN.replace(b"centers = [1, 2, 3]", b"centers = 9")),
    "TOML nested without end": ("text", b"\x00x = " + b"[" * DEEP),
    "a whole number of 5,000 digits": ("text", b"\x00seed = " + b"9" * 5000),
    "a record nested without end": ("text", b"\x09" + b"[" * DEEP),
    "an NRRD line of 5,000 letters ended the program": ("image", b"\x00NRRD0004\ntyp" + b"[" * 5000 + b": int\n\n"),
    "-1 axes of a MetaImage ended the program": (
        "image",
        b"\x02NDims = -1\nDimSize = 5 4 3\nElementDataFile = LOCAL\n",
    ),
}
