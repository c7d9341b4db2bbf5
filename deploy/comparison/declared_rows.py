"""What was asked before the first run, answered in rows and sentences; and which adapter each center is best served."""

from collections.abc import Mapping
from typing import Any

from protocol.tasks import Metric, metric_named
from reporting.formats import difference_interval, label, probability

Table = Mapping[str, Any]
DECLARED_HEADER = ("contrast", "question", "difference", "patients", "p", "p (Holm)", "answer", "asked")
SERVICE_HEADER = ("center", "default minus local only", "patients", "served best by")


def metric_of(table: Table) -> Metric:
    """The metric that all figures of a benchmark are about."""
    return metric_named(table["metric"])


def declared_rows(table: Table) -> list[tuple[str, ...]]:
    """One row a declared contrast; columns as in `DECLARED_HEADER`."""
    decimals = metric_of(table).decimals
    return [
        (
            f"{_label(table, entry['a'])} minus {_label(table, entry['b'])}",
            _question(entry),
            difference_interval(entry["difference"], decimals),
            str(entry["patients"]),
            probability(entry["p"]),
            probability(entry["p_holm"]),
            entry["answer"],
            "before the first run" if entry["status"] == "declared" else entry["status"],
        )
        for entry in table["declared_contrasts"]
    ]


def declared_sentences(table: Table) -> list[str]:
    """What was declared, in words, for the screen and above the tables."""
    declaration, found = table["declaration"], table["declared_contrasts"]
    if not found:
        return ["No contrast was declared before the first run: every figure is exploratory."]
    when = declaration["declared_at"] or "never"
    changed = declaration["declared_file_sha256"] not in {None, declaration["file_sha256"]}
    endpoint = found[0]["endpoint"]
    return [
        f"Primary endpoint: test {metric_of(table).label} with {label(endpoint['setting'])} after the last stage. "
        f"Declared before the first run ({when}); p is adjusted by Holm over what was declared. Everything else is "
        "exploratory." + (" The benchmark file has changed since." if changed else ""),
        *map(_sentence, declared_rows(table)),
    ]


def service_rows(table: Table, setting: str) -> list[tuple[str, ...]]:
    """One row a center: whether the default serves it better than what it trains alone."""
    decimals = metric_of(table).decimals
    return [
        (center, difference_interval(entry, decimals), str(entry["patients"]), _served(entry))
        for center, entry in table["service"].get(setting, {}).items()
    ]


def service_sentences(table: Table, setting: str) -> list[str]:
    """Whom the federation serves worse than training alone, by name; nothing where no arm trains alone."""
    entries = table["service"].get(setting, {})
    if not any(entry["serve"] for entry in entries.values()):
        return []
    decimals = metric_of(table).decimals
    losing = {center: entry for center, entry in entries.items() if entry["serve"] == "own"}
    if not losing:
        return ["The default is not below training alone at any center."]
    listed = ", ".join(f"{center} ({difference_interval(entry, decimals)})" for center, entry in losing.items())
    return [f"Better off alone: {listed}. Serve these centers what they trained themselves, every other the default."]


def _served(entry: Table) -> str:
    if entry["serve"] is None:
        return "undefined"
    said = "its own" if entry["serve"] == "own" else "the default"
    return said if entry["sure"] else f"{said}, not sure"


def _sentence(row: tuple[str, ...]) -> str:
    contrast, question, difference, _, p, p_holm, answer, asked = row
    return f"{contrast}, {question}: {difference}, p {p} (Holm {p_holm}): {answer}; asked {asked}"


def _question(entry: Table) -> str:
    return entry["kind"] if entry["margin"] is None else f"{entry['kind']}, margin {entry['margin']:g}"


def _label(table: Table, arm: str) -> str:
    """What tables call an arm; one that was withdrawn goes by its name."""
    return table["arms"][arm]["label"] if arm in table["arms"] else arm
