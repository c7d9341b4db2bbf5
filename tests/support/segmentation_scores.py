"""Scores of segmentation as tests write them."""

from protocol.messages.scores import Score


def dice_score(
    cases: int, dice: float | None, hd95_mm: float | None, dice_undefined: int = 0, hd95_undefined: int = 0
) -> Score:
    """Mean Dice and HD95 in mm over cases, and how many cases do not define each."""
    return Score(cases, {"dice": dice, "hd95_mm": hd95_mm}, {"dice": dice_undefined, "hd95_mm": hd95_undefined})
