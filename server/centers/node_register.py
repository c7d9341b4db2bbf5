"""Flower's register of nodes, made to follow the registry.

The register is compared with the registry whenever either may have changed, and not by what was done before: so a
command that was broken off, a SuperLink that was down and a database that was lost or restored all come right the same
way. What is refused for one center is kept for the end: the others come right all the same.

A key is turned away for good. So only one goes that the registry names as ended, or whose center a person has just
revoked by its name; one that the registry has never heard of may be a registry of an earlier day, and is told.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from protocol.enrolment.public_keys import fingerprint
from protocol.errors import LaunchError
from server.centers.registry import CenterRegistry, Member
from server.superlink.link import Link, RegisteredNode


@dataclass
class Followed:
    """What came of it.

    Attributes:
        registry: the registry with Flower's ids of the nodes.
        done: what was done, in words.
        refused: center -> why its key could not be let in, or turned away.
    """

    registry: CenterRegistry
    done: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def raise_refused(self) -> None:
        """LaunchError with every center whose key the SuperLink refused; what was done all the same stands."""
        if not self.refused:
            return
        reasons = "; ".join(f"center '{center}': {reason}" for center, reason in self.refused.items())
        others = f". Done all the same: {'; '.join(self.done)}" if self.done else ""
        raise LaunchError(
            f"the SuperLink's register does not follow the registry for {', '.join(self.refused)}: {reasons}. Correct "
            f"that and try again; a center whose key is refused for good is revoked (`concilium revoke`) and invited "
            f"again{others}"
        )

    @contextmanager
    def note_refusal(self, center: str) -> Iterator[None]:
        """Keep a refusal of the block, which concerns one center, for the end."""
        try:
            yield
        except LaunchError as error:
            self.refused[center] = str(error)


def follow(registry: CenterRegistry, link: Link, only: str | None = None) -> Followed:
    """Let the keys in that the registry accepts, and turn those away that have ended; tells what it does not know.

    Args:
        registry: the registry.
        link: the SuperLink.
        only: the center that a person named; of one that is not accepted every key goes, and all others are left alone.

    Raises:
        LaunchError: the SuperLink cannot be asked for its nodes; nothing was done.
    """
    followed = Followed(registry)
    found = _turn_away(followed, link, only)
    _let_in(followed, link, found, only)
    return followed


def _turn_away(followed: Followed, link: Link, only: str | None) -> dict[str, str]:
    """All keys that have ended; gives the ids of the nodes that the registry accepts."""
    found: dict[str, str] = {}
    for node in link.nodes():
        if only not in {None, node.name}:
            continue
        member, key = followed.registry.members.get(node.name), fingerprint(node.public_key)
        if member is not None and member.accepted and member.public_key == node.public_key:
            found[node.name] = node.node_id
        elif _has_ended(key, member, named=only is not None):
            with followed.note_refusal(node.name):
                link.unregister(node.node_id)
                followed.done.append(f"center '{node.name}': key {key} is turned away")
        else:
            followed.refused[node.name] = _explain_unknown(node)
    return found


def _has_ended(key: str, member: Member | None, *, named: bool) -> bool:
    """Whether the registry knows that the key with this fingerprint is over, or a person who named its center does."""
    if member is not None and key in member.all_fingerprints:
        return True
    return named and (member is None or not member.accepted)


def _explain_unknown(node: RegisteredNode) -> str:
    return (
        f"key {fingerprint(node.public_key)} is in the SuperLink's register, and the registry has never had it. It is "
        "left as it is: where enrolment/enrolment.json is gone or of an earlier day, restore it from a backup; where "
        f"this key is nobody's, `concilium revoke {node.name}`"
    )


def _let_in(followed: Followed, link: Link, known: Mapping[str, str], only: str | None) -> None:
    """All keys that the registry accepts; their nodes' ids go in the registry."""
    found = dict(known)
    for center, member in followed.registry.members.items():
        if only not in {None, center}:
            continue
        if member.accepted and center not in found and center not in followed.refused:
            with followed.note_refusal(center):
                found[center] = link.register(member.public_key, center)
                followed.done.append(f"center '{center}': key {member.fingerprint} is registered")
        noted = member.model_copy(update={"node_id": found.get(center, "")})
        followed.registry = followed.registry.having(center, noted)
