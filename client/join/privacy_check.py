"""The check of what training guarantees patients: whether the study asks for what the center holds to."""

from collections.abc import Sequence
from datetime import UTC, datetime

from client.data.block_file import RecordsError
from client.home.own_privacy import agree_on_privacy, refuse_attack
from client.join.findings import Finding, failure, ok, skip, warning
from client.join.situation import Situation
from client.privacy.case_hashes import read_key
from client.privacy.ledger_file import LEDGER, Entry, read_entries
from protocol.errors import PrivacyError


def check_privacy(situation: Situation) -> Finding:
    """What the study and the center agree on, or why they do not, or cannot keep it; no case is looked at."""
    if situation.membership is None:
        return skip("no agreement says what the study asks for")
    folder = situation.home.trainer
    asked, center = situation.membership.agreement.settings.privacy, situation.membership.center
    own = situation.settings.privacy if situation.settings else None
    try:
        promise = agree_on_privacy(asked, own, center, situation.membership.agreement.study)
        refuse_attack(promise, situation.settings.maximum_attack_auc if situation.settings else 0.0, center)
    except PrivacyError as error:
        text, _, remedy = str(error).partition("; ")
        return failure(text, remedy)
    try:
        entries = read_entries(folder / LEDGER, read_key(folder), datetime.now(UTC))
    except RecordsError as error:
        text, _, remedy = str(error).partition(". ")
        return failure(text, remedy)
    if promise is None:
        return _without_promise(entries)
    return ok(
        f"each patient who trains is guaranteed epsilon {promise.epsilon:g} at delta {promise.delta:g}, gradients are "
        f"clipped to {promise.sensitivity:.3g}; `concilium-center check --study` tells what it costs here in noise"
    )


def _without_promise(entries: Sequence[Entry]) -> Finding:
    """What a study without a guarantee means for those who were promised one before."""
    promised = sorted({entry.release.study for entry in entries if entry.promise is not None})
    if not promised:
        return ok("none asked for: what trains leaves without noise")
    return warning(
        f"none asked for, and patients here were promised an epsilon by {promised}: what trains now leaves without "
        "noise, which that epsilon does not cover",
        "give --privacy FILE to refuse studies without [privacy], or ask the coordinator for it",
    )
