"""Why a SuperLink does not do what it was asked, in words that say what to do next."""

import httpx

from protocol.errors import LaunchError
from protocol.flower_internals import FlowerError


class LinkAwayError(LaunchError):
    """A study's SuperLink that does not answer, or that another one answers for."""

    code = "link-away"


def explain_unreachable(address: str, what: str, error: httpx.TransportError) -> str:
    """The message for a call that reached no SuperLink."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        cause = f"its certificate does not come from this consortium's authority, has expired, or names others ({text})"
        remedy = "see which program listens there, or renew it with `concilium certificate --study ROOT --renew`"
    elif "Permission denied" in text:
        cause = "this account may not open it: a SuperLink answers the account that serves, and nobody else"
        remedy = "run the command as that account"
    elif isinstance(error, httpx.TimeoutException):
        cause = "it does not answer in time"
        remedy = "look into ROOT/logs/superlink.log; a disk that is full or very slow holds its database up"
    elif isinstance(error, httpx.RemoteProtocolError) or "SSL" in text:
        cause = f"what answers there is no SuperLink with TLS ({text})"
        remedy = "see which program listens there"
    else:
        cause = f"nothing answers ({text})"
        remedy = "start it with `concilium serve ROOT` (or its container or unit)"
    return f"cannot ask the SuperLink at {address} {what}: {cause}; {remedy}"


def explain_refusal(address: str, what: str, response: httpx.Response, refusal: FlowerError | None) -> str:
    """The message for a call that was answered, but not done."""
    if refusal is not None:
        details = f" ({refusal.public_details})" if refusal.public_details else ""
        return f"the SuperLink at {address} was asked {what} and refused: {refusal.message}{details}"
    return (
        f"{address} was asked {what} and answered HTTP {response.status_code}, which a SuperLink does not at its "
        "control door; see which program listens there, and start `concilium serve ROOT` again"
    )
