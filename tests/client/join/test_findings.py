"""What a check may find, and which of it asks somebody to do something."""

from client.join.findings import failure, ok, skip, warning


def test_each_finding_has_its_status_and_only_what_is_not_well_a_remedy() -> None:
    found = (ok("a"), warning("b", "mend b"), failure("c", "mend c"), skip("d"))
    assert [finding.status for finding in found] == ["ok", "warning", "failed", "skipped"]
    assert [finding.remedy for finding in found] == ["", "mend b", "mend c", ""]
