"""A network whose answer can be read off its images."""

import torch
from torch import Tensor, nn

from tests.support.image_network import ImageNetwork


class Threshold(ImageNetwork):
    """Class 1 where the sum of the images that it is given exceeds one half."""

    def __init__(self) -> None:
        super().__init__()
        self.limit = nn.Parameter(torch.tensor(0.5))

    def look(self, ct: Tensor | None, pet: Tensor | None) -> Tensor:
        total = torch.stack([image for image in (ct, pet) if image is not None]).sum(0)
        return torch.cat([torch.zeros_like(total), total - self.limit], dim=1)
