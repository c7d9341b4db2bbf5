"""What every fusion module asks of the CT and PET maps it is given."""

from torch import Tensor


def check_pair(ct: Tensor, pet: Tensor, width: int) -> None:
    """Refuse maps that do not belong together; a sum would silently broadcast some of them.

    Raises:
        ValueError: CT and PET are not both (b, width, y, x) of one shape.
    """
    if ct.ndim != 4 or ct.shape[1] != width or ct.shape != pet.shape:
        raise ValueError(
            f"fusion of width {width} needs CT and PET maps of one shape (b, {width}, y, x), "
            f"found CT {tuple(ct.shape)} and PET {tuple(pet.shape)}"
        )
