"""A network inside another module, as wrappers for several GPUs hold it."""

from typing import Any

from torch import nn


class Wrapped(nn.Module):
    """No network by its class; asks the one inside for everything else."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__["_modules"]
        return own[name] if name in own else getattr(own["inside"], name)
