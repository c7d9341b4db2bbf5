"""The Shannon entropy of an image in bits, counted in two ways whose numbers must not be held against each other.

    EN = - sum p log2 p

Over the distinct float values, as ClinicalFMamba's code counts: at most log2(pixels), 16 for 256^2 and 21 for 128^3,
and near it for every image of a network, whatever it shows. Over 256 bins of [0, 1], as is usual: at most 8.
"""

import torch
from torch import Tensor

BINS = 256


def value_entropy(image: Tensor) -> float:
    """Over the distinct values."""
    return _bits(image.unique(return_counts=True)[1])


def histogram_entropy(image: Tensor) -> float:
    """Over 256 equal bins of [0, 1]."""
    return _bits(torch.histc(image.float(), bins=BINS, min=0.0, max=1.0))


def _bits(counts: Tensor) -> float:
    p = counts[counts > 0].double() / counts.sum()
    return float((p * -p.log2()).sum())
