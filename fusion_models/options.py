"""The options of a model: what a study file may override of its sizes, and what it must not."""

from collections.abc import Collection, Mapping

Option = int | float | str | tuple[int, ...] | tuple[str, ...]
Sizes = Mapping[str, Option]


def check_options(known: Sizes, given: Mapping[str, object], omissible: Collection[str] = ()) -> None:
    """Refuse options that a model does not have, or of another kind than its own: words, numbers, counts from 1.

    A count that a model has as 0 may be 0, and so may the `omissible`: counts of parts that can be left out.

    Raises:
        ValueError: the first of them, with what was found and expected.
    """
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(f"the model has no option(s) {unknown}; known: {sorted(known)}")
    for name, value in given.items():
        expected = _mismatch(value, 0 if name in omissible else known[name])
        if expected:
            raise ValueError(f"option '{name}' must be {expected}, found {value!r}")


def _mismatch(value: object, own: Option) -> str:
    """What a value like `own` is, in words; empty where `value` is one."""
    if isinstance(own, tuple):
        entries = value if isinstance(value, tuple | list) else (None,)
        wrong = next((found for entry in entries if (found := _mismatch(entry, own[0]))), "")
        return wrong and f"a list, each entry {wrong}"
    if isinstance(own, str):
        return "" if isinstance(value, str) else "a word"
    if isinstance(own, float):
        return "" if isinstance(value, float | int) and not isinstance(value, bool) else "a number"
    least = min(own, 1)
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
    return "" if fits else f"a whole number of at least {least}"
