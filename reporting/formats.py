"""Results as people read them, the same on every page, in every table and on the screen."""

from collections.abc import Iterable, Mapping, Sequence

UNDEFINED, WITHHELD, FAILED, ABSENT = "undefined", "withheld", "failed", "absent"
Interval = Mapping[str, float | None]


def number(value: float | None, form: str) -> str:
    """A number in one of Python's formats (`.3f`, `+.3f`, `.0%`), or the word for its absence; zero has no minus."""
    sign, rest = ("+", form[1:]) if form.startswith("+") else ("", form)
    return UNDEFINED if value is None else f"{value:{sign}z{rest}}"


def figure(value: float | None, decimals: int, unit: str = "") -> str:
    """A metric's value with its digits and, where one is given, its unit; or the word for its absence."""
    return number(value, f".{decimals}f") + (f" {unit}" if unit and value is not None else "")


def heading(metrics: Iterable[tuple[str, str]]) -> str:
    """What a column of several figures shows, from label and unit of each: `Dice / HD95 in mm`."""
    return " / ".join(f"{name} in {unit}" if unit else name for name, unit in metrics)


def difference(value: float | None, decimals: int = 3) -> str:
    """A difference of a metric, always with a sign."""
    return number(value, f"+.{decimals}f")


def share(value: float | None) -> str:
    """A share in whole percent."""
    return number(value, ".0%")


def figure_interval(entry: Interval | None, decimals: int) -> str:
    """A metric (`value`) with the ends of its interval (`low`, `high`): `0.712 [0.655, 0.770]`."""
    return _interval(entry, f".{decimals}f")


def difference_interval(entry: Interval | None, decimals: int) -> str:
    """A difference of a metric with the ends of its interval: `+0.012 [-0.003, +0.027]`."""
    return _interval(entry, f"+.{decimals}f")


def probability(p: float | None) -> str:
    """A p-value, three digits."""
    return "< 0.001" if p is not None and p < 0.001 else number(p, ".3f")


def size(count: float | None) -> str:
    """Bytes in decimal units."""
    if count is None:
        return UNDEFINED
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float | None) -> str:
    """Seconds in the two largest units that matter."""
    if seconds is None:
        return UNDEFINED
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def label(setting: str) -> str:
    """A modality setting as people write it: its names are abbreviations."""
    return setting.upper()


def in_reading_order(settings: Iterable[str]) -> list[str]:
    """Modality settings, each once: the most complete input first, else as they come."""
    return sorted(dict.fromkeys(settings), key=lambda setting: -setting.count("+"))


def words(value: object) -> str:
    """A setting's value: lists joined, tables as `key value` pairs."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {words(part)}" for key, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(words(part) for part in value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _interval(entry: Interval | None, form: str) -> str:
    if entry is None or entry["value"] is None:
        return UNDEFINED
    return f"{number(entry['value'], form)} [{number(entry['low'], form)}, {number(entry['high'], form)}]"
