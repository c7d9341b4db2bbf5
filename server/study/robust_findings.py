"""What of a stage's robust rule cannot be: a rule, scheme or reference that does not fit, or too few centers for it."""

from collections.abc import Iterator, Mapping

from protocol.messages.settings import Adapter, Aggregation, Robust
from protocol.messages.tensors import BANKS, PEFT, groups_reached
from server.study.stage import Center, Stage
from strategies.aggregation.schemes import SCHEMES
from strategies.robust.rules import RULES, Rule


def robust_of(stage: Stage, settings: Aggregation) -> Robust | None:
    """The robust rule of a stage, its own or the study's; None where the mean is plain."""
    return (settings.robust if stage.robust is None else stage.robust) or None


def robust_findings(
    stage: Stage, scheme: str, centers: Mapping[str, Center], settings: Aggregation, adapter: Adapter
) -> Iterator[str]:
    """Every finding about the rule of one stage, with what to do; none where it has no rule.

    Args:
        stage: names centers that are known.
        scheme: its scheme, by name.
        centers: of the study.
        settings: of the study's aggregation.
        adapter: says whether adapters have banks.
    """
    robust = robust_of(stage, settings)
    if robust is None:
        return
    where = f"stage '{stage.name}'"
    if robust.rule not in RULES:
        yield f"{where} asks for robust rule '{robust.rule}'; known: {sorted(RULES)}"
        return
    rule = RULES[robust.rule]
    yield from (f"{where}: {finding}" for finding in _scheme_findings(stage, robust, scheme, settings))
    ranked = [name for name in stage.centers if centers[name].rank not in {None, adapter.rank}]
    if ranked:
        yield f"{where}: center(s) {ranked} have ranks of their own, and a robust rule compares updates of one rank"
    senders = senders_of(stage, centers, adapter)
    yield from (f"{where}: {finding}" for finding in _reference_findings(stage, robust, rule, senders))
    for group, names in senders.items():
        if len(names) < rule.advised(robust.liars):
            yield (
                f"{where}: '{robust.rule}' with {robust.liars} liar(s) needs {rule.advised(robust.liars)} centers for "
                f"each tensor group, and {len(names)} can train '{group}': {list(names)}; name more centers or fewer "
                "liars, another rule, or `robust = false` for the stage"
            )


def senders_of(stage: Stage, centers: Mapping[str, Center], adapter: Adapter) -> dict[str, tuple[str, ...]]:
    """Tensor group -> the centers of a stage whose modalities reach it."""
    banked = {f"{PEFT}.{bank}" for bank in BANKS} if adapter.routing == "modality" else set()
    reached = {name: groups_reached(stage.trained, centers[name].modalities) for name in stage.centers}
    groups = sorted({*stage.trained, *(banked if PEFT in stage.trained else ())})
    return {group: tuple(name for name in stage.centers if group in reached[name]) for group in groups}


def _scheme_findings(stage: Stage, robust: Robust, scheme: str, settings: Aggregation) -> Iterator[str]:
    row = SCHEMES[scheme]
    if not row.weighs:
        able = sorted(name for name, other in SCHEMES.items() if other.weighs)
        yield f"a robust rule says what centers weigh, and '{scheme}' does not go by that; use one of {able}"
    elif RULES[robust.rule].one_factor and PEFT in stage.trained and not row.trains_one_factor(settings):
        able = sorted(name for name, other in SCHEMES.items() if other.weighs and other.trains_one_factor(settings))
        yield (
            f"'{robust.rule}' acts on the one factor of an adapter that trains, and '{scheme}' trains both; use one of "
            f"{able}, or another rule"
        )


def _reference_findings(
    stage: Stage, robust: Robust, rule: Rule, senders: Mapping[str, tuple[str, ...]]
) -> Iterator[str]:
    if not rule.referenced:
        if robust.reference:
            yield f"'{robust.rule}' holds updates against no reference; leave `reference` out"
        return
    lacking = [group for group, names in senders.items() if names and robust.reference not in names]
    if robust.reference not in stage.centers:
        found = f"'{robust.reference}'" if robust.reference else "none"
        yield f"'{robust.rule}' needs a reference among the stage's centers {list(stage.centers)}, found {found}"
    elif lacking:
        yield (
            f"reference '{robust.reference}' cannot train tensor group(s) {lacking}, which other centers train; "
            "give it cases of every modality"
        )
