"""The check of what training guarantees patients: whether the study asks for what the center holds to."""

from client.home.own_privacy import agree_on_privacy
from client.join.findings import Finding, failure, ok, skip
from client.join.situation import Situation
from protocol.errors import PrivacyError


def check_privacy(situation: Situation) -> Finding:
    """What the study and the center agree on, or why they do not; no case is looked at."""
    if situation.membership is None:
        return skip("no agreement says what the study asks for")
    asked, center = situation.membership.agreement.settings.privacy, situation.membership.center
    own = situation.settings.privacy if situation.settings else None
    try:
        promise = agree_on_privacy(asked, own, center, situation.membership.agreement.study)
    except PrivacyError as error:
        text, _, remedy = str(error).partition("; ")
        return failure(text, remedy)
    if promise is None:
        return ok("none asked for: what trains leaves without noise")
    return ok(
        f"each patient who trains is guaranteed epsilon {promise.epsilon:g} at delta {promise.delta:g}, gradients are "
        f"clipped to {promise.sensitivity:.3g}; `concilium-center check --study` tells what it costs here in noise"
    )
