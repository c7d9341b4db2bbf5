"""What a model may tell about its inside while cases are scored: a column of the model table.

What leaves a center is bounded elsewhere, by the names that data owners have reviewed (protocol.messages.diagnostics):
a figure that is not among them stops a reply.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from torch import nn


class Diagnostics(Protocol):
    """Figures of the forward passes made while a model is observed."""

    def observe(self, model: nn.Module) -> AbstractContextManager[object]:
        """Watch the forward passes made inside."""
        ...

    def summary(self) -> Mapping[str, float]:
        """The figures by name; none where nothing that is watched ran."""
        ...


class NoDiagnostics:
    """A model that tells nothing."""

    def observe(self, model: nn.Module) -> AbstractContextManager[object]:  # noqa: ARG002  (the contract's argument)
        """Watch nothing."""
        return nullcontext()

    def summary(self) -> Mapping[str, float]:
        """No figure."""
        return {}
