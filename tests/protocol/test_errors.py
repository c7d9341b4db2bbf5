"""One tree of errors, and the codes that may travel."""

from protocol.errors import ConciliumError, error_codes


def test_error_codes_come_from_the_error_tree() -> None:
    assert {"failed", "cases", "model", "internal", "egress-refused", "unreadable"} <= error_codes()


def test_a_new_kind_of_error_has_its_code_among_them() -> None:
    class PlantedError(ConciliumError):
        code = "planted"

    assert PlantedError.code in error_codes()
    assert "no-answer" not in error_codes()
