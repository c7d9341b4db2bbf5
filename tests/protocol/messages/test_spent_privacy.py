import json
from pathlib import Path

import pytest

from protocol.errors import CaseError
from protocol.messages.spent_privacy import read_spent_privacy
from tests.support.carded_study import spent_by


def test_what_a_center_printed_is_read(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps(spent_by("center-a")))
    found = read_spent_privacy(tmp_path / "p.json")
    assert (found.center, found.spent[0].epsilon, found.spent[0].left) == ("center-a", 2.5, 0.5)


@pytest.mark.parametrize("text", ['{"spent": []}', "not json", '{"center": "a", "epsilon": NaN}'])
def test_what_is_no_such_file_is_refused_with_what_to_give(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(CaseError, match="ledger --privacy --json"):
        read_spent_privacy(tmp_path / "p.json")
