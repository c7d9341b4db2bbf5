"""Residual blocks and the stream of one modality: the parts that every network of this family is made of.

    block    x -> ReLU(norm(conv3(ReLU(norm(conv3(x; stride s))))) + shortcut(x))
    shortcut x itself, or norm(conv1(x; stride s)) where the shape changes
    stage l  width * 2^(l - 1) channels; its first block halves the map (sizes: ceil), the others keep it

(arXiv 2501.12425, section 2; the official predecessor has one block a stage.) All convolutions have a bias.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from fusion_models.multistage.norms import NormFactory


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut: (b, inputs, z, y, x) -> (b, outputs, z', y', x'), z' = ceil(z / stride)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, norm: NormFactory) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv3d(inputs, outputs, 3, stride, padding=1), norm(outputs)
        self.conv2, self.norm2 = nn.Conv3d(outputs, outputs, 3, padding=1), norm(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv3d(inputs, outputs, 1, stride), norm(outputs))
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The block's map, not negative."""
        inner = self.activation(self.norm1(self.conv1(x)))
        outer: Tensor = self.activation(self.norm2(self.conv2(inner)) + self.shortcut(x))
        return outer


def stage_widths(width: int, stages: int) -> tuple[int, ...]:
    """Channels of each stage, finest first: 16, 32, 64 in the paper."""
    return tuple(width * 2**stage for stage in range(stages))


def make_stream(inputs: int, widths: Sequence[int], blocks: int, norm: NormFactory) -> nn.ModuleList:
    """The stages of one stream, each a sequence of `blocks` residual blocks, from `inputs` image channels."""
    stages = nn.ModuleList()
    for before, after in zip((inputs, *widths), widths, strict=False):
        first = ResidualBlock(before, after, stride=2, norm=norm)
        rest = [ResidualBlock(after, after, stride=1, norm=norm) for _ in range(blocks - 1)]
        stages.append(nn.Sequential(first, *rest))
    return stages


def smallest_map(crop_zyx: Sequence[int], stages: int) -> tuple[int, ...]:
    """The last stage's map of an image: each size halved once a stage, rounded up."""
    return tuple(-(-size // 2**stages) for size in crop_zyx)
