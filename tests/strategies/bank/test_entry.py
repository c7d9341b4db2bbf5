"""What an entry is named and told apart by."""

from dataclasses import replace

from strategies.bank.entry import Entry

ENTRY = Entry("shared", 3, "", "adapt", 7, "shared/0002", "b" * 64, "a" * 64, {"peft": 5}, 2, 44)


def test_other_entries_name_it_by_name_and_version() -> None:
    assert ENTRY.reference == "shared/0003"


def test_the_same_training_has_one_origin_whatever_its_version() -> None:
    assert replace(ENTRY, version=4, parent=None, support={}).origin == ENTRY.origin
    for other in ({"center": "hgj"}, {"stage": "s"}, {"server_round": 8}, {"backbone": "c"}, {"sha256": "d"}):
        assert replace(ENTRY, **other).origin != ENTRY.origin


def test_only_what_no_stage_of_the_study_made_has_a_provenance_on_disk() -> None:
    assert "provenance" not in ENTRY.record
    assert replace(ENTRY, provenance="elsewhere").record == {**ENTRY.record, "provenance": "elsewhere"}
