"""The base of networks that tests read masks of: what the contract asks for beside a forward pass."""

from typing import Any

from torch import Tensor

from fusion_models.contract import Segmenter


class ImageNetwork(Segmenter):
    """A network that is its forward pass of CT and PET; the router reads the mean of the CT."""

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Any:
        assert ehr is None
        return ct, pet

    def decode(self, features: Any) -> Tensor:
        return self.look(*features)

    def look(self, ct: Tensor | None, pet: Tensor | None) -> Tensor:
        """Logits of the images."""
        raise NotImplementedError

    def pool_features(self, ct: Tensor) -> Tensor:
        return ct.mean((2, 3, 4))
