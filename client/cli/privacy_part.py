"""What `check` says of privacy: whether a study and a center agree on it, and what it costs here in noise."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client.cli.study_part import StudyPart
from client.data.block_file import RecordsError
from client.data.checks import Issue, Subject
from client.data.manifest import Manifest
from client.home.own_privacy import OwnPrivacy, agree_on_privacy
from protocol.errors import PrivacyError
from protocol.messages.instruction import Part
from protocol.messages.privacy import Privacy

if TYPE_CHECKING:
    from client.privacy.ledger_file import Promise
    from client.privacy.privacy_ledger import Bound
    from client.privacy.viability import NoiseCost

UNKNOWN = "more than any noise buys"
UNSEEN = "as if nothing had been spent on these patients before; --home HOME takes it into account"


@dataclass(frozen=True)
class NoiseTable:
    """What each epsilon costs a center: patients who train, patients expected a step, steps of the whole study.

    before: what was spent on these patients before, and whether that is in the costs, in words.
    """

    delta: float
    patients: int
    expected: int
    steps: int
    costs: tuple["NoiseCost", ...]
    before: str = UNSEEN

    def as_object(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        head = (
            f"privacy: noise beside a clipping norm of 1, for {self.patients} patient(s) who train, {self.expected} a "
            f"step, {self.steps} steps, delta {self.delta:.2g}"
        )
        return [head, *(_line(cost) for cost in self.costs), f"  {self.before}"]


def examine_privacy(
    manifest: Manifest,
    drawn: Mapping[str, Part],
    part: StudyPart,
    own: OwnPrivacy | None,
    home: Path | None = None,
) -> tuple[NoiseTable | None, list[Issue]]:
    """The table and the findings of a study for a center; nothing where neither of them asks for privacy.

    Args:
        manifest: of the center.
        drawn: case -> its part.
        part: of the study file.
        own: what the center holds to.
        home: whose ledger says what was spent before; None looks at none.
    """
    subject, promise, issues = Subject(manifest.center, "", Path()), None, list[Issue]()
    try:
        promise = agree_on_privacy(part.privacy, own, manifest.center, part.name)
    except PrivacyError as error:
        issues.append(_issue(subject, str(error), "an agreement on privacy", "ask the coordinator"))
    learning = [case for case in manifest.usable if drawn.get(case.name) == "train"]
    patients = {case.patient for case in learning}
    if promise is None or not patients:
        return None, issues
    issues += _of_few(subject, promise, len(patients))
    names = patients.union(case.name for case in learning)
    try:
        table = tabulate(part, manifest.center, promise, len(patients), home, names)
    except RecordsError as error:
        text, _, step = str(error).partition(". ")
        return None, [*issues, _issue(subject, text, "a ledger as it was written", step)]
    fewest = min(
        (min(len(patients), training.batch_size) for _, _, training in part.training_at(manifest.center)), default=1
    )
    return table, [*issues, *(_issue(subject, *told) for told in _unaffordable(table, promise, fewest))]


def tabulate(
    part: StudyPart, center: str, promise: Privacy, patients: int, home: Path | None, names: Collection[str]
) -> NoiseTable | None:
    """What the promised epsilon, and a few others, cost; None where the center trains in no stage.

    Raises:
        RecordsError: what was spent before cannot be read as it was written.
    """
    from client.privacy.viability import EPSILONS, noise_costs

    own = part.training_at(center)
    if not own or promise.delta >= 1 / patients:
        return None
    bounds, before = _spent_before(home, names)
    expected, steps = min(patients, max(training.batch_size for _, _, training in own)), part.steps_at(center)
    epsilons = sorted({promise.epsilon, *EPSILONS}, reverse=True)
    costs = noise_costs(epsilons, promise.delta, patients, expected, steps, bounds)
    return NoiseTable(promise.delta, patients, expected, steps, costs, before)


def _unaffordable(table: NoiseTable | None, promise: Privacy, fewest: int) -> Iterator[tuple[str, str, str]]:
    """Why the center would sit out of a stage, what it would not sit out of, and what to do.

    Args:
        table: what each epsilon costs; one sigma for all stages.
        promise: of the study, as the center holds to it.
        fewest: patients expected a step in the stage that expects fewest, in which that sigma weighs most.
    """
    promised = next((cost for cost in table.costs if cost.epsilon == promise.epsilon), None) if table else None
    if table is None or promised is None:
        return
    if promised.noise_multiplier is None:
        text = f"no noise lets {table.steps} step(s) stay within epsilon {promise.epsilon:g}: {table.before}"
        yield text, "patients with something left", "sit out, or train on patients who were in no earlier study"
    elif found := promise.noise_finding(promised.noise_multiplier, fewest):
        step = "train alone, or ask for more patients a step, fewer steps or a larger epsilon"
        yield f"this center would sit out: {found}", f"at most {promise.maximum_noise:g} a value", step


def _spent_before(
    home: Path | None, names: Collection[str]
) -> tuple["Callable[[Promise], Sequence[Bound]] | None", str]:
    """What a promise to some patients has to keep beside itself, and the same in words."""
    from client.privacy.ledger_file import LEDGER, place_of
    from client.privacy.privacy_ledger import PrivacyLedger
    from client.privacy.unguaranteed import in_words, unguaranteed_of

    if home is None:
        return None, UNSEEN
    if (place := place_of(home)) is None:
        return None, f"{home} has no {LEDGER}: nothing was spent on these patients before"
    ledger = PrivacyLedger(place)
    found = ledger.entries(names)
    private = sum(entry.release.is_guaranteed for entry in found)
    text = f"{private} private release(s) on these patients, and what was promised with them, are taken into account"
    bare = unguaranteed_of(found)
    text += f"; left without a guarantee, which no noise undoes: {in_words(bare)}" if bare else ""
    return partial(ledger.bounds, names), text


def _of_few(subject: Subject, promise: Privacy, patients: int) -> Iterator[Issue]:
    from client.privacy.private_rounds import delta_finding
    from client.privacy.viability import advice

    if found := delta_finding(promise.delta, patients):
        yield _issue(subject, found, f"delta below 1 / {patients}", "ask the coordinator")
    if found := advice(patients):
        yield Issue("few-patients", "", f"center '{subject.center}': {found}", "warning", "", found)


def _issue(subject: Subject, found: str, expected: str, step: str) -> Issue:
    return subject.issue("privacy", "", found, expected, step)


def _line(cost: "NoiseCost") -> str:
    if cost.noise_multiplier is None or cost.a_coordinate is None:
        return f"  epsilon {cost.epsilon:g}: {UNKNOWN}"
    return f"  epsilon {cost.epsilon:g}: sigma {cost.noise_multiplier:.2f}, {cost.a_coordinate:.3f} a coordinate"


def noise_lines(table: NoiseTable | None) -> Sequence[str]:
    """The table where there is one."""
    return table.lines() if table else ()
