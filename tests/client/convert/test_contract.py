import pickle
from functools import partial
from pathlib import Path

from client.convert.contract import Choices, FoundCase, ReadCase


def read(choices: Choices, case: str) -> ReadCase:
    return ReadCase(rois=(case, choices.suv))


def test_a_user_who_says_nothing_gets_suv_by_body_weight_and_declares_nothing() -> None:
    assert (Choices().suv, Choices().declared_suv, Choices().rois) == ("bw", False, None)


def test_a_found_case_is_read_in_another_process_as_it_was_found() -> None:
    """Workers get it pickled, with the choices that its reader holds."""
    found = FoundCase("study", "patient", (Path("ct.dcm"),), partial(read, Choices(suv="lbm")))
    assert pickle.loads(pickle.dumps(found)).read("case-a") == ReadCase(rois=("case-a", "lbm"))
