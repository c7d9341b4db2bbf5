"""Whether an answer to a kit, or one that renews a key, may change the registry, and what its center's entry is then.

Pure functions of the registry, the answer and the time; `server.centers.enrolment` reads and writes.
"""

import hmac
from datetime import datetime, timedelta

from protocol.enrolment.answer import RENEWAL, EnrolmentAnswer, token_verifier, verifier_proof
from protocol.enrolment.kit import Kit
from protocol.enrolment.public_keys import canonical_key, fingerprint, has_signed
from protocol.errors import EnrolmentError, KitError
from server.centers.registry import CenterRegistry, Member, day_of


def member_of_kit(kit: Kit, member_days: int, before: Member | None) -> Member:
    """The entry of a center to which `kit` goes out; the keys that it had before stay known.

    One that is enrolled, and is asked to agree to what was added, stays so with its key until its answer is accepted.
    """
    if before is not None and before.accepted and not before.just_expired(kit.issued_at):
        return before.model_copy(
            update={
                "serial": kit.serial,
                "token_verifier": token_verifier(kit.token),
                "kit_expires_at": kit.expires_at,
                "member_days": member_days,
                "offered_sha256": kit.agreement.agreed_sha256,
                "offered_bundle_sha256": kit.agreement.bundle_sha256,
            }
        )
    return Member(
        state="invited",
        serial=kit.serial,
        token_verifier=token_verifier(kit.token),
        kit_expires_at=kit.expires_at,
        member_days=member_days,
        agreed_sha256=kit.agreement.agreed_sha256,
        bundle_sha256=kit.agreement.bundle_sha256,
        past_fingerprints=() if before is None else before.all_fingerprints,
    )


def member_after(registry: CenterRegistry, answer: EnrolmentAnswer, now: datetime) -> Member:
    """The entry of a center after its answer.

    An answer that is in the registry, but whose key the SuperLink does not have yet, may come again.

    Raises:
        KitError: the answer is for another study or to another kit, too late, or its proof is wrong.
        EnrolmentError: the center is not to be enrolled, or its key is unfit or taken.
    """
    if answer.study != registry.study:
        raise KitError(
            f"the answer of center '{answer.center}' is for study '{answer.study}', this is '{registry.study}'; give "
            "the directory of that study with --study"
        )
    before = registry.member(answer.center)
    key = canonical_key(answer.public_key)
    waits = before.accepted and key == before.public_key and not before.node_id
    if waits and answer.serial in {before.serial, RENEWAL}:
        return before
    check = _check_renewal if answer.serial == RENEWAL else _check_invitation
    check(before, answer, now)
    owner = registry.owner_of(fingerprint(key))
    if owner is not None:
        raise EnrolmentError(
            f"center '{answer.center}' answers with key {fingerprint(key)}, which center '{owner}' has or had; every "
            "center makes a key of its own, and none is used again: let it run `join` in a fresh home"
        )
    return _enroll(before, key, now, joining=answer.serial != RENEWAL)


def _enroll(before: Member, key: str, now: datetime, *, joining: bool) -> Member:
    return before.model_copy(
        update={
            "state": "enrolled",
            "token_verifier": "",
            "member_until": now + timedelta(days=before.member_days) if joining else before.member_until,
            "public_key": key,
            "fingerprint": fingerprint(key),
            "past_fingerprints": before.all_fingerprints,
            "node_id": "",
            "spent": False,
            **(_agreed(before) if joining else {}),
        }
    )


def _agreed(before: Member) -> dict[str, str]:
    """What an enrolled center agrees to that answers a kit."""
    if not before.offered_sha256:
        return {}
    return {
        "agreed_sha256": before.offered_sha256,
        "bundle_sha256": before.offered_bundle_sha256,
        "offered_sha256": "",
        "offered_bundle_sha256": "",
    }


def _check_renewal(before: Member, answer: EnrolmentAnswer, now: datetime) -> None:
    center, state = answer.center, before.state_at(now)
    if state == "expired":
        raise EnrolmentError(
            f"center '{center}' wants another key, but its membership ended on {day_of(before.member_until)}; extend "
            f"it first with `concilium enroll --renew {center}`"
        )
    if state != "enrolled":
        raise EnrolmentError(
            f"center '{center}' wants another key, but is {state}; invite it with `concilium enroll {center}`"
        )
    if not has_signed(before.public_key, answer.proof, answer.message):
        raise KitError(
            f"the answer of center '{center}' is not signed by its registered key {before.fingerprint}; where that key "
            f"is lost, `concilium revoke {center}`, then invite it again"
        )


def _check_invitation(before: Member, answer: EnrolmentAnswer, now: datetime) -> None:
    center, again = answer.center, f"send a new kit with `concilium enroll {answer.center}`"
    state = before.state_at(now)
    if state == "enrolled" and not before.offered_sha256:
        raise EnrolmentError(
            f"center '{center}' is enrolled with key {before.fingerprint} already, and a kit is used once; where "
            f"another machine takes its place, `concilium revoke {center}`, then {again}"
        )
    if state not in {"invited", "enrolled"}:
        raise EnrolmentError(f"center '{center}' is {state} since it was sent this kit; to take it in, {again}")
    if answer.serial != before.serial:
        raise KitError(
            f"the answer of center '{center}' is to kit {answer.serial[:8]}, the last one sent is {before.serial[:8]}; "
            f"let it join with that one, or {again}"
        )
    if now >= before.kit_expires_at:
        raise KitError(f"the kit of center '{center}' expired on {day_of(before.kit_expires_at)}; {again}")
    if not hmac.compare_digest(verifier_proof(before.token_verifier, answer.message), answer.proof):
        raise KitError(
            f"the answer of center '{center}' was not made with the token of its kit, or was changed on its way; ask "
            f"for the answer again, and if it is refused again, {again}"
        )
