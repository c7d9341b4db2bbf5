"""A network that fuses by a share of each image, so that its answer can be told beforehand."""

import torch
from torch import Tensor, nn

from fusion_models.contract import Fuser


class Mixture(Fuser):
    """CT where there is no PET, else a share of each."""

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        self.share = nn.Parameter(torch.tensor(share))

    def encode(self, ct: Tensor | None, pet: Tensor | None, ehr: Tensor | None = None) -> Tensor:
        assert ehr is None
        assert ct is not None
        return ct if pet is None else self.share * ct + (1 - self.share) * pet

    def fuse(self, features: Tensor) -> Tensor:
        return features

    def pool_features(self, ct: Tensor) -> Tensor:
        return ct.mean((2, 3, 4))
