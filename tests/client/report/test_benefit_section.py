from pathlib import Path

import pytest

from client.report.benefit_section import benefit_section
from client.scores.score_log import BENEFITS, record_benefits
from protocol.errors import CaseError
from protocol.messages.benefit import NOTHING_DEFINES_IT, Benefit
from protocol.messages.scores import Comparison
from protocol.storage.sealed_json import seal

EARLIER = Benefit("segmentation", "ct", "local-only", 1, Comparison(1, 0.9, 0.0))
CT = Benefit("segmentation", "ct", "ct-network", 2, NOTHING_DEFINES_IT)
BOTH = Benefit("segmentation", "ct+pet", "local-only", 4, Comparison(4, -0.25, 0.0))


def test_the_latest_stage_is_shown_with_the_fullest_input_first(tmp_path: Path) -> None:
    record_benefits(tmp_path, "first", [EARLIER])
    record_benefits(tmp_path, "second", [CT, BOTH])
    (section,) = benefit_section(tmp_path / BENEFITS)
    assert section.stage == "second"
    assert [(line.setting, line.difference, line.verdict) for line in section.lines] == [
        ("CT+PET", "-0.250 [-0.250, -0.250]", "worse with federation"),
        ("CT", "undefined", "nothing defines it"),
    ]


def test_without_the_reference_there_is_no_section(tmp_path: Path) -> None:
    assert benefit_section(tmp_path / BENEFITS) == []


def test_rows_that_are_not_the_trainers_are_refused(tmp_path: Path) -> None:
    (tmp_path / BENEFITS).write_bytes(seal({"rows": [{"stage": "first"}]}))
    with pytest.raises(CaseError, match="evaluate again to replace it"):
        benefit_section(tmp_path / BENEFITS)
