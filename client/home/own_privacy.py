"""What a center holds to, whatever a study asks for: a TOML that `join` keeps in the home and that never leaves.

    epsilon = 3            # training guarantees no less than this
    delta = 1e-4
    clip_norm = 0.5        # may be left out
    weaker = "refuse"      # a study that asks for less; or "tighten": train with these numbers in its place

A study without [privacy] is refused either way: nobody agreed with it on noise.
"""

from pathlib import Path
from typing import Literal

from pydantic import PositiveFloat, ValidationError, field_validator

from protocol.errors import PrivacyError
from protocol.messages.base import Settings
from protocol.messages.privacy import Privacy, check_delta, check_epsilon
from protocol.messages.settings import findings
from protocol.storage.parsed_text import UnreadableTextError, read_toml


class OwnPrivacy(Settings):
    """The least that a center guarantees its patients."""

    epsilon: float
    delta: float
    clip_norm: PositiveFloat | None = None
    weaker: Literal["refuse", "tighten"] = "refuse"

    _epsilon = field_validator("epsilon", mode="before")(check_epsilon)
    _delta = field_validator("delta", mode="before")(check_delta)


def read_own_privacy(path: Path) -> OwnPrivacy:
    """What `privacy.toml` says.

    Raises:
        PrivacyError: it cannot be read, or says what cannot be.
    """
    try:
        return OwnPrivacy.model_validate(read_toml(path))
    except OSError as error:
        raise PrivacyError(f"{path} cannot be read ({error.strerror}); give --privacy the center's own TOML") from error
    except UnreadableTextError as error:
        raise PrivacyError(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        found = "; ".join(findings(error))
        raise PrivacyError(f"{path}: {found}; docs/joining.md says what a center may hold to") from error


def agree_on_privacy(asked: Privacy | None, own: OwnPrivacy | None, center: str, study: str) -> Privacy | None:
    """What a center trains with: what the study asks for, or what the center holds to where that is stricter.

    Raises:
        PrivacyError: the study asks for less than the center holds to, which `own` does not tighten.
    """
    if own is None:
        return asked
    if asked is None:
        raise PrivacyError(
            f"center '{center}' holds to epsilon {own.epsilon:g} and delta {own.delta:g}, study '{study}' has no "
            f"[privacy]; ask the coordinator for [privacy] epsilon = {own.epsilon:g}, delta = {own.delta:g}"
        )
    weaker = list(_weaker(asked, own))
    if weaker and own.weaker == "refuse":
        raise PrivacyError(
            f"study '{study}' asks for less privacy than center '{center}' holds to: {', '.join(weaker)}; ask the "
            'coordinator for that, or write weaker = "tighten" to train with the center\'s own numbers'
        )
    return _tighten(asked, own)


def refuse_attack(promise: Privacy | None, highest_auc: float, center: str) -> None:
    """Refuse to attack candidates where training guarantees privacy: what the attack says has no noise.

    Raises:
        PrivacyError: the center asks for both.
    """
    if promise is not None and highest_auc:
        raise PrivacyError(
            f"center '{center}' has --maximum-attack-auc {highest_auc:g}, and whether a candidate is compared would "
            "then follow from training patients without noise, which [privacy] does not allow; leave it out, [privacy] "
            "bounds what any attack finds"
        )


def _weaker(asked: Privacy, own: OwnPrivacy) -> list[str]:
    pairs = (
        ("epsilon", asked.epsilon, own.epsilon),
        ("delta", asked.delta, own.delta),
        ("clip_norm", asked.sensitivity, own.clip_norm or asked.sensitivity),
    )
    return [f"{name} {found:g}, here at most {most:g}" for name, found, most in pairs if found > most]


def _tighten(asked: Privacy, own: OwnPrivacy) -> Privacy:
    """The stricter of each; norms of groups shrink together."""
    share = min(1.0, (own.clip_norm or asked.sensitivity) / asked.sensitivity)
    norms = asked.clip_norm
    clip_norm = norms * share if isinstance(norms, float) else {group: norm * share for group, norm in norms.items()}
    stricter = {"epsilon": min(asked.epsilon, own.epsilon), "delta": min(asked.delta, own.delta)}
    return asked.model_copy(update={**stricter, "clip_norm": clip_norm})
