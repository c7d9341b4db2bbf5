"""Sizes of the model families: as published (PAPER), for a few CPU cores (SMALL), for tests and demonstrations (TINY).

They are the options of a model's row, which a study file may override one by one.
"""

from collections.abc import Mapping

Option = int | float | str | tuple[int, ...] | tuple[str, ...]
Sizes = Mapping[str, Option]

UNETR_PAPER: Sizes = {"patch": 16, "width": 768, "depth": 12, "heads": 12, "mlp": 3072, "features": 48}
UNETR_SMALL: Sizes = {"patch": 8, "width": 96, "depth": 6, "heads": 6, "mlp": 192, "features": 8}
UNETR_TINY: Sizes = {"patch": 4, "width": 24, "depth": 4, "heads": 2, "mlp": 48, "features": 4}
PEMMA_PAPER: Sizes = {**UNETR_PAPER, "beta": 1.0}
PEMMA_SMALL: Sizes = {**UNETR_SMALL, "beta": 1.0}
PEMMA_TINY: Sizes = {**UNETR_TINY, "beta": 1.0}

VMAMBAX_PAPER: Sizes = {
    "width": 96,
    "depths": (2, 2, 9, 2),
    "state": 16,
    "patch": 4,
    "decoder_depth": 4,
    "decoder_state": 4,
    "drop_path": 0.1,
    "merge": "cgm",
    "interaction": "dcim",
    "encoder": "shared",
    "neighbours": 0,
}
VMAMBAX_SMALL: Sizes = {
    **VMAMBAX_PAPER,
    "width": 16,
    "depths": (1, 1, 2, 1),
    "state": 4,
    "patch": 2,
    "decoder_depth": 1,
}
VMAMBAX_TINY: Sizes = {**VMAMBAX_SMALL, "depths": (1, 1), "state": 2, "decoder_state": 2}

LOG_2D_PAPER: Sizes = {
    "width": 96,
    "depths": (2, 2, 9, 2),
    "state": 16,
    "patch": 4,
    "decoder_depth": 2,
    "variant": "log",
    "placement": "interleaved",
    "compression": 8,
    "expansion": 2,
    "strides": (2, 2, 4),
    "squeezes": (2, 1, 1),
    "drop_path": 0.2,
    "neighbours": 0,
    "beta": 1.0,
}
LOG_2D_SMALL: Sizes = {
    **LOG_2D_PAPER,
    "width": 16,
    "depths": (1, 1, 2, 1),
    "state": 4,
    "patch": 2,
    "decoder_depth": 1,
}
LOG_2D_TINY: Sizes = {**LOG_2D_SMALL, "width": 8, "depths": (1, 1), "state": 2, "strides": (2,), "squeezes": (1,)}

LOG_3D_PAPER: Sizes = {
    "widths": (32, 64, 128, 256, 320),
    "blocks": (2, 2, 2, 1, 1),
    "decoder_blocks": (2, 2, 2, 1),
    "variants": ("l", "log", "log", "g", "g"),
    "strides": (1, 4, 2, 1, 1),
    "squeezes": (1, 1, 1, 2, 8),
    "compression": 16,
    "expansion": 1,
    "state": 16,
    "placement": "interleaved",
    "drop_path": 0.1,
    "beta": 1.0,
}
LOG_3D_SMALL: Sizes = {
    **LOG_3D_PAPER,
    "widths": (16, 32, 64),
    "blocks": (1, 1, 1),
    "decoder_blocks": (1, 1),
    "variants": ("l", "log", "g"),
    "strides": (1, 2, 1),
    "squeezes": (1, 1, 2),
    "compression": 8,
    "state": 4,
}
LOG_3D_TINY: Sizes = {
    **LOG_3D_SMALL,
    "widths": (8, 16),
    "blocks": (1, 1),
    "decoder_blocks": (1,),
    "variants": ("l", "log"),
    "strides": (1, 2),
    "squeezes": (1, 1),
    "state": 2,
}


def check_options(model: str, known: Sizes, given: Mapping[str, object]) -> None:
    """Refuse options that a model does not have, or of another kind than its own: words, numbers, counts from 1.

    A count that a model has as 0 may be 0.

    Raises:
        ValueError: the first of them, with what was found and expected.
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"model '{model}' has no option(s) {unknown}; known: {sorted(known)}")
    for name, value in given.items():
        expected = _expected(value, known[name])
        if expected:
            raise ValueError(f"option '{name}' of model '{model}' must be {expected}, found {value!r}")


def _expected(value: object, own: Option) -> str:
    """What a value like `own` is, in words; empty where `value` is one."""
    if isinstance(own, tuple):
        entries = value if isinstance(value, tuple | list) else (None,)
        wrong = next((found for entry in entries if (found := _expected(entry, own[0]))), "")
        return wrong and f"a list, each entry {wrong}"
    if isinstance(own, str):
        return "" if isinstance(value, str) else "a word"
    if isinstance(own, float):
        return "" if isinstance(value, float | int) and not isinstance(value, bool) else "a number"
    least = min(own, 1)
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
    return "" if fits else f"a whole number of at least {least}"
