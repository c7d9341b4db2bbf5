"""The checks on the way to the coordinator: clock, name, port, proxy, TLS, authentication.

They judge one `client.join.contact.Contact`. What one of them cannot see because an earlier one failed is skipped.
"""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from client.join.contact import Contact
from client.join.findings import Finding, failure, ok, skip, warning
from client.join.situation import KeyStanding, Situation

AHEAD_LIMIT_S, BEHIND_LIMIT_S = 5.0, 300.0
AHEAD_WARNING_S, BEHIND_WARNING_S = 2.5, 30.0
DAYS_LEFT_WARNING = 30
OUR_SERVER = "concilium server"
NOT_YET_VALID, EXPIRED = 9, 10
UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})
WRONG_NAME = frozenset({62, 64})
NO_KIT = "no kit, so it is not known whom to reach"


def check_clock(situation: Situation) -> Finding:
    """Flower refuses signatures from a clock 5 s ahead or 305 s behind."""
    contact = situation.contact
    if contact is None:
        return skip(NO_KIT)
    if contact.server_time is None:
        return skip("the coordinator's clock was not seen")
    size = abs(contact.ahead_s)
    text = f"this machine's clock is {_span(size)} {'ahead of' if contact.ahead_s > 0 else 'behind'} the coordinator's"
    limit, notable = (AHEAD_LIMIT_S, AHEAD_WARNING_S) if contact.ahead_s > 0 else (BEHIND_LIMIT_S, BEHIND_WARNING_S)
    remedy = "synchronise it by NTP (`timedatectl set-ntp true`, or your time server in chrony)"
    if size > limit:
        return failure(f"{text}; at most {AHEAD_LIMIT_S:.0f} s ahead and {BEHIND_LIMIT_S:.0f} s behind work", remedy)
    return warning(text, remedy) if size > notable else ok(text)


def check_name(situation: Situation) -> Finding:
    """The host's name, or the proxy's, has an address."""
    contact = situation.contact
    if contact is None:
        return skip(NO_KIT)
    name = contact.first_hop.rpartition(":")[0]
    if contact.resolution_error:
        if contact.proxy:
            return failure(
                f"the proxy's name '{name}' has no address ({contact.resolution_error})",
                "correct HTTPS_PROXY, or unset it if this machine needs no proxy",
            )
        return failure(
            f"'{name}' has no address ({contact.resolution_error})",
            "ask your network team to make this machine's DNS resolve it, or write it into /etc/hosts",
        )
    return ok(f"'{name}' is {', '.join(contact.addresses)}")


def check_port(situation: Situation) -> Finding:
    """The port takes connections."""
    contact = situation.contact
    if contact is None:
        return skip(NO_KIT)
    if contact.resolution_error:
        return skip("there is no address to connect to")
    if contact.connect_error == "refused":
        return failure(
            f"{contact.first_hop} refuses connections",
            f"ask the coordinator whether it is up; if it is, let TCP to {contact.first_hop} through your firewall",
        )
    if contact.connect_error:
        return failure(
            f"{contact.first_hop} cannot be reached ({contact.connect_error})",
            f"open outgoing TCP to {contact.first_hop} in your firewall, or set HTTPS_PROXY if a proxy is required",
        )
    return ok(f"{contact.first_hop} takes connections; this center opens no port to the outside")


def check_proxy(situation: Situation) -> Finding:
    """Nothing in between answers in the coordinator's place."""
    contact = situation.contact
    if contact is None:
        return skip(NO_KIT)
    if contact.resolution_error or contact.connect_error:
        return skip("there is no connection")
    if contact.tunnel_error:
        return failure(
            f"proxy {contact.proxy} does not let {contact.target} through: {contact.tunnel_error}",
            f"ask your network team to allow CONNECT to {contact.target}, or add '{contact.host}' to NO_PROXY",
        )
    if contact.plain:
        return failure(
            f"{contact.target} answers without TLS ('{contact.plain}'): a proxy, a portal or another service",
            f"ask your network team what answers there, and for a direct way to {contact.target}",
        )
    issuer = foreign_issuer(contact, situation.authority)
    if issuer:
        return failure(
            f"TLS to {contact.target} is ended on the way by something with a certificate of '{issuer}'",
            f"ask your network team to exempt {contact.target} from TLS inspection; no other authority will be trusted",
        )
    return ok(f"through {contact.proxy}" if contact.proxy else "none in between")


def foreign_issuer(contact: Contact, authority: bytes | None) -> str:
    """The issuer of a certificate that is no coordinator's at all; empty where it is one, whoever signed it."""
    shown = contact.presented
    if shown is None or authority is None or contact.verify_code not in UNKNOWN_ISSUER:
        return ""
    if _common_name(shown.subject) == OUR_SERVER or shown.issuer == x509.load_pem_x509_certificate(authority).subject:
        return ""
    return _common_name(shown.issuer) or shown.issuer.rfc4514_string() or "nobody"


def check_tls(situation: Situation) -> Finding:
    """TLS verifies with the kit's authority and the endpoint's name."""
    contact = situation.contact
    if contact is None:
        return skip(NO_KIT)
    if contact.resolution_error or contact.connect_error or contact.tunnel_error or contact.plain:
        return skip("there is no connection to the coordinator")
    if contact.presented is None:
        return failure(
            f"{contact.target} does not speak TLS ({contact.tls_error})",
            "ask the coordinator what listens there",
        )
    if foreign_issuer(contact, situation.authority):
        return skip("what answers is not the coordinator")
    return _judge_certificate(contact, contact.presented)


def _judge_certificate(contact: Contact, shown: x509.Certificate) -> Finding:
    until = shown.not_valid_after_utc
    if contact.verify_code in {NOT_YET_VALID, EXPIRED}:
        if contact.server_time and shown.not_valid_before_utc <= contact.server_time <= until:
            return skip("the certificate is valid by the coordinator's clock; correct this machine's first")
        when = f"valid from {shown.not_valid_before_utc:%Y-%m-%d} to {until:%Y-%m-%d}"
        return failure(
            f"the coordinator's certificate is out of date ({when})",
            "ask the coordinator to renew it (`concilium certificate --renew`); this center needs no new kit",
        )
    if contact.tls_error:
        return _judge_refusal(contact, shown)
    days = (until - (contact.server_time or datetime.now(UTC))).days
    if days < DAYS_LEFT_WARNING:
        return warning(
            f"the coordinator's certificate ends in {days} day(s)",
            "remind the coordinator to renew it; this center needs no new kit",
        )
    return ok(f"verified with the kit's authority; the certificate lasts {days} more days")


def _judge_refusal(contact: Contact, shown: x509.Certificate) -> Finding:
    if contact.verify_code in WRONG_NAME:
        return failure(
            f"the coordinator's certificate is not for '{contact.host}' ({contact.tls_error})",
            "ask the coordinator for a certificate with this name, or for a kit with the right endpoint",
        )
    if contact.verify_code in UNKNOWN_ISSUER:
        return failure(
            f"the coordinator's certificate is signed by '{_common_name(shown.issuer)}', not by this kit's authority",
            "the kit is another consortium's, or the authority was made anew: ask the coordinator for a new kit",
        )
    return failure(f"TLS with {contact.target} fails ({contact.tls_error})", "show this line to the coordinator")


def check_authentication(situation: Situation) -> Finding:
    """The coordinator accepts this center's key."""
    contact = situation.contact
    if contact is None or contact.presented is None or contact.tls_error:
        return skip("the coordinator cannot be asked")
    asked = situation.key_standing
    if asked is None:
        return skip("there is no key yet: joining makes it")
    if asked.standing == "accepted":
        return ok(f"the coordinator knows this center's key (node {asked.node_id})")
    return _refusal(situation, contact, asked)


def check_authentication_to_come(situation: Situation) -> Finding:
    """The coordinator accepts this center's key, or will once it has the answer that is made here."""
    finding, asked = check_authentication(situation), situation.key_standing
    if asked is None or asked.standing != "unknown" or situation.node_id:
        return finding
    return warning(finding.text, finding.remedy)


def _refusal(situation: Situation, contact: Contact, asked: KeyStanding) -> Finding:
    refusals = {
        "online": failure(
            "this center's key is connected from elsewhere",
            "stop the other process or machine that runs with a copy of this home; a key belongs to one machine",
        ),
        "refused": failure(
            "the coordinator refuses the signature's time", "synchronise the clock by NTP, then join again"
        ),
        "down": failure(
            f"{contact.target} answers, the study behind it does not",
            "ask the coordinator whether the study's SuperLink runs",
        ),
        "unreachable": failure(
            f"the coordinator did not answer ({asked.error})", "try again; if it stays so, ask the coordinator"
        ),
    }
    return refusals.get(asked.standing) or _unknown(situation)


def _unknown(situation: Situation) -> Finding:
    """A key that no node has: not yet accepted, or no longer."""
    if situation.node_id:
        return failure(
            "the coordinator no longer accepts this center's key: it was revoked, or its membership ended",
            "ask the coordinator; a new kit is needed to come back",
        )
    answer = situation.home.answer(situation.membership.center if situation.membership else "CENTER")
    return failure(
        "the coordinator has not accepted this center's key yet",
        f"send this answer file to the coordinator, then join again: {answer}",
    )


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def _span(seconds: float) -> str:
    """Seconds in the unit one thinks in."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 3600:.1f} hours" if seconds < 172800 else f"{seconds / 86400:.1f} days"
