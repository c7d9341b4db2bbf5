"""What two images must be before they are fused: of one grid, of one channel, in [0, 1], neither of them empty."""

from collections.abc import Sequence

from torch import Tensor

NAMES = ("first", "second")


def check_pair(first: Tensor, second: Tensor, *, axes: int, multiple: int) -> None:
    """Check the shapes of two images (b, 1, *size) with `axes` axes.

    Raises:
        ValueError: other axes or channels, grids that differ, or a side that is no multiple.
    """
    for name, image in zip(NAMES, (first, second), strict=True):
        if image.ndim != axes + 2:
            raise ValueError(
                f"the {name} image must have {axes + 2} axes (batch, channel and {axes} of space), found shape "
                f"{tuple(image.shape)}"
            )
        if image.shape[1] != 1:
            raise ValueError(
                f"the {name} image must have one channel, found {image.shape[1]} in shape {tuple(image.shape)}; of a "
                "colour image fuse the luminance"
            )
    if first.shape != second.shape:
        raise ValueError(
            f"both images must lie on one grid, found shapes {tuple(first.shape)} and {tuple(second.shape)}; register "
            "and resample the second to the first"
        )
    check_size(first.shape[2:], multiple)


def check_size(size: Sequence[int], multiple: int) -> None:
    """Check the sides of a box.

    Raises:
        ValueError: one is no multiple of `multiple`; with the next size that is.
    """
    if all(side > 0 and side % multiple == 0 for side in size):
        return
    legal = tuple(max(1, -(-side // multiple)) * multiple for side in size)
    raise ValueError(
        f"the sides of an image must be multiples of {multiple}, found {tuple(size)}; pad or crop to {legal}"
    )


def check_values(image: Tensor, name: str) -> None:
    """Check the values of an image.

    Raises:
        ValueError: values that are not finite or lie outside [0, 1], or an image that is constant.
    """
    low, high = (float(value) for value in image.aminmax())
    if not 0 <= low <= high <= 1:
        raise ValueError(
            f"the {name} image must have values in [0, 1], found {low:g} to {high:g}; scale it by the range of its "
            "modality"
        )
    if low == high:
        raise ValueError(
            f"the {name} image is {low:g} everywhere, so there is nothing to fuse; expected an image with contrast"
        )
