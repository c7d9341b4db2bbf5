"""Cross-modal channel attention of ClinicalFMamba (arXiv 2508.03008, as its code computes it); channel first.

    w      = sigmoid(max over positions of r + mean over positions of r),   r = Conv(reference)     one a channel
    result = w * Conv'(query)

Both convolutions are 1 wide without bias. The paper's figure draws them 3 wide and the reference added to the result:
`kernel` and `residual`. One set of weights serves both modalities, each once as reference and once as query.
"""

import torch
from torch import Tensor, nn

from fusion_models.clinicalfmamba.dgcb import CONVOLUTIONS


class ChannelAttention(nn.Module):
    """Adds to maps (b, channels, *size) what two modalities' maps of the same shape say of each other's channels.

    Args:
        axes: 2 or 3. kernel: side of both convolutions, odd. residual: add the reference to the result.
    """

    def __init__(self, channels: int, *, axes: int, kernel: int = 1, residual: bool = False) -> None:
        super().__init__()
        convolution = CONVOLUTIONS[axes]
        self.residual = residual
        self.reference = convolution(channels, channels, kernel, padding=kernel // 2, bias=False)
        self.query = convolution(channels, channels, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """x + CMCA(first -> second) + CMCA(second -> first)."""
        return self.add(self.add(x, first, second), second, first)

    def add(self, x: Tensor, reference: Tensor, query: Tensor) -> Tensor:
        """x + CMCA(reference -> query), in one pass over memory: at full resolution a volume's maps are large."""
        x = torch.addcmul(x, self.weights(reference), self.query(query))
        return x + reference if self.residual else x

    def weights(self, reference: Tensor) -> Tensor:
        """w of a reference (b, channels, *size): (b, channels, 1, ..), in (0, 1)."""
        r = self.reference(reference).flatten(2)
        return torch.sigmoid(r.amax(-1) + r.mean(-1)).view(*r.shape[:2], *[1] * (reference.ndim - 2))
