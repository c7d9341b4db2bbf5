from protocol.messages.benefit import Benefit
from protocol.messages.scores import Comparison
from server.results.benefits import benefit_entries, benefit_lines
from server.study.history import StageRow

ALONE = Benefit("segmentation", "ct+pet", "local-only", 4, Comparison(4, 0.25, 0.0))
CT = Benefit("segmentation", "ct", "ct-network", 2, None)
ROWS = (
    StageRow("first", {}, benefits={"a": (Benefit("segmentation", "ct", "local-only", 4, Comparison(4, 0.5, 0.0)),)}),
    StageRow("second", {}, benefits={"a": (CT, ALONE)}),
    StageRow("third", {}),
)


def test_what_a_center_said_last_stands() -> None:
    withheld, known = benefit_entries(ROWS)
    assert (withheld["stage"], withheld["state"], withheld["cases"], withheld["low"]) == ("second", "withheld", 2, None)
    assert (known["center"], known["setting"], known["against"]) == ("a", "ct+pet", "local-only")
    assert (known["state"], known["difference"], known["low"], known["high"]) == ("known", 0.25, 0.25, 0.25)


def test_the_report_has_a_line_for_each_and_none_where_nobody_asked() -> None:
    lines = benefit_lines({"benefits": benefit_entries(ROWS)})
    assert [(line.setting, line.difference, line.verdict) for line in lines] == [
        ("CT+PET", "+0.250 [+0.250, +0.250]", "better with federation"),
        ("CT", "withheld", "too few cases to say"),
    ]
    assert benefit_lines({}) == []
