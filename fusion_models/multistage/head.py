"""The classifier's head: one linear map of the pooled maps of both streams, which also answers for one stream alone.

    f_ct, f_pet   (b, d)             means over positions of each stream's last map
    answer        (b, outputs)       W_ct f_ct + W_pet f_pet + bias  =  W [f_ct ; f_pet] + bias

A modality that is absent takes its term with it. CT alone is then the unimodal network of the CT stream, PET alone that
of the PET stream; both together are the published head of 2d features, in as many parameters (258 for d = 64).
"""

import torch
from torch import Tensor, nn


class StreamHead(nn.Module):
    """Linear over the features of the streams that are there; drawn as one `nn.Linear(2 * width, outputs)`."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        joint = nn.Linear(2 * width, outputs)
        self.ct, self.pet = (nn.Linear(width, outputs, bias=False) for _ in range(2))
        self.bias = nn.Parameter(joint.bias.detach().clone())
        with torch.no_grad():
            for part, weight in zip((self.ct, self.pet), joint.weight.split(width, dim=1), strict=True):
                part.weight.copy_(weight)

    def forward(self, ct: Tensor | None, pet: Tensor | None, gain: nn.Module | None = None) -> Tensor:
        """Answer (b, outputs) to the features (b, width) of the streams that are there.

        Args:
            gain: of PET's term, where both are.
        """
        terms = [part(found) for part, found in ((self.ct, ct), (self.pet, pet)) if found is not None]
        if gain is not None and len(terms) == 2:
            terms[1] = gain(terms[1])
        return torch.stack(terms).sum(0) + self.bias


def pool(maps: Tensor) -> Tensor:
    """Mean over positions: (b, d, z, y, x) -> (b, d)."""
    return maps.mean(dim=(2, 3, 4))
