"""What a guarantee costs a center in noise, said before anybody joins: whether training can learn under it at all.

    sigma(epsilon)   noise multiplier that the accountant needs for all steps of a study at rate q = b / n
    sigma / b        noise of one coordinate of the mean gradient, beside the clipping norm C = 1 of a patient's whole
                     gradient: with p values that train the noise is sigma sqrt(p) / b long, the signal at most 1

At q fixed by one pass over the patients a round, sigma hardly falls with n while b rises with it, so that it is few
patients and not a small epsilon that ends learning: at epsilon 8 and 30 passes sigma / b is 0.32 at 18 patients in
batches of 4, and 0.03 at 500 in batches of 32.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from client.privacy.ledger_file import Promise
from client.privacy.patient_sampling import sample_rate
from client.privacy.privacy_ledger import Bound
from client.privacy.private_rounds import noise_for_all
from protocol.errors import PrivacySpentError

FEW_PATIENTS = 50
EPSILONS = (8.0, 3.0, 1.0)


@dataclass(frozen=True)
class NoiseCost:
    """What one epsilon costs: sigma, and sigma / b in units of the clipping norm; None where no noise suffices."""

    epsilon: float
    noise_multiplier: float | None
    a_coordinate: float | None


def noise_costs(
    epsilons: Sequence[float],
    delta: float,
    patients: int,
    batch: int,
    steps: int,
    bounds: Callable[[Promise], Sequence[Bound]] | None = None,
) -> tuple[NoiseCost, ...]:
    """What each epsilon would cost a center.

    Args:
        epsilons: of the guarantee.
        delta: of the guarantee.
        patients: that train, n; one at least.
        batch: patients expected a step, b.
        steps: of the whole study.
        bounds: what a promise has to keep for these patients (`PrivacyLedger.bounds`): what was spent on them, and
            every earlier promise to any of them; None as if there had been nothing.

    Raises:
        RecordsError: what was spent before cannot be read as it was written.
    """
    rate = sample_rate(batch, patients)
    kept = [bounds(promise) if bounds else (Bound(promise, ()),) for promise in (Promise(e, delta) for e in epsilons)]
    return tuple(_cost(epsilon, rate, rate * patients, steps, of) for epsilon, of in zip(epsilons, kept, strict=True))


def advice(patients: int) -> str:
    """What a center with so few patients had better do; "" where there are enough."""
    if patients >= FEW_PATIENTS:
        return ""
    return (
        f"with {patients} patient(s) who train the noise drowns what they teach; below about {FEW_PATIENTS} train "
        'alone (aggregation = "local-only"), or wait for a stage with more patients; [secure_aggregation] in place of '
        "[privacy] hides this center's update from the coordinator, and bounds what the sum tells of nobody"
    )


def _cost(epsilon: float, rate: float, expected: float, steps: int, bounds: Sequence[Bound]) -> NoiseCost:
    try:
        sigma = noise_for_all(bounds, rate, steps)
    except PrivacySpentError:
        return NoiseCost(epsilon, None, None)
    return NoiseCost(epsilon, sigma, sigma / expected)
