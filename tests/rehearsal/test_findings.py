from tests.rehearsal.findings import Findings


def test_what_came_is_noted_and_what_did_not_is_unseen() -> None:
    found = Findings()
    assert found.expect("an alarm", lambda: True, within_s=0)
    assert not found.expect("a restart", lambda: False, within_s=0)
    assert (found.done, found.unseen) == (["an alarm"], ["a restart"])


def test_what_was_left_for_later_is_undone_once_the_last_first() -> None:
    found, undone = Findings(), []
    found.later += [lambda: undone.append("case"), lambda: undone.append("image")]
    found.put_right()
    found.put_right()
    assert undone == ["image", "case"]
