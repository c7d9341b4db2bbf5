"""Pictures of how sure masks are."""

import io

from PIL import Image

from client.report.calibration_pictures import calibration_png
from client.scores.calibration import Tenth

EMPTY = [Tenth(0, None, None)] * 10


def test_it_is_a_png_also_where_nothing_is_known() -> None:
    assert Image.open(io.BytesIO(calibration_png(EMPTY, [], []))).format == "PNG"


def test_a_temperature_and_a_risk_are_drawn() -> None:
    some = [*EMPTY[:8], Tenth(4, 0.85, 0.5), EMPTY[9]]
    plain, tempered = calibration_png(some, [], []), calibration_png(some, some, [(1.0, 0.4)])
    assert plain != calibration_png(EMPTY, [], [])
    assert tempered != plain
