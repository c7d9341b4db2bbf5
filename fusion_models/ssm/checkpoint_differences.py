"""What keeps the tensors of a file from being those of a network, in words."""

from collections.abc import Mapping, Sequence

from torch import Tensor

SHOWN = 3


def differences(given: Mapping[str, Tensor], needed: Mapping[str, Tensor]) -> str:
    """How many tensors are missing, unknown or of another shape, with the first of each; "" if none is.

    Args:
        given, needed: tensors by name, in one spelling of the names.
    """
    both = [name for name in needed if name in given and given[name].shape != needed[name].shape]
    kinds = {
        "missing": [name for name in needed if name not in given],
        "unknown": [name for name in given if name not in needed],
        "of another shape": [f"{name} {tuple(given[name].shape)}, not {tuple(needed[name].shape)}" for name in both],
    }
    return "; ".join(f"{len(names)} {kind}: {_first(names)}" for kind, names in kinds.items() if names)


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
