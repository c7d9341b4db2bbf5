"""Flower's register of nodes, made to follow the roll.

The register is compared with the roll whenever either may have changed, and not by what was done before: so a command
that was broken off, a SuperLink that was down and a database that was lost or restored all come right the same way.
"""

from collections.abc import Sequence
from typing import Protocol

from server.centers.keys import fingerprint
from server.centers.roll import Roll


class RegisteredNode(Protocol):
    """A node as the SuperLink knows it."""

    @property
    def name(self) -> str:
        """The center's."""
        ...

    @property
    def node_id(self) -> str:
        """Flower's id."""
        ...

    @property
    def public_key(self) -> str:
        """OpenSSH line without a comment."""
        ...


class Registrar(Protocol):
    """Flower's register of nodes; `launching.control.ControlClient` is one. All methods may raise LaunchError."""

    def register(self, public_key_openssh: str, name: str) -> str:
        """Let the node with this key in; gives Flower's id of it."""
        ...

    def unregister(self, node_id: str) -> None:
        """Turn a node away."""
        ...

    def nodes(self) -> Sequence[RegisteredNode]:
        """All nodes that are let in."""
        ...


def follow(roll: Roll, registrar: Registrar, only: str | None = None) -> tuple[Roll, tuple[str, ...]]:
    """Let the keys in that the roll admits, and turn all others away; where a center is given, its own alone.

    Returns:
        The roll with Flower's ids of the nodes, and what was done, in words.

    Raises:
        LaunchError: the SuperLink cannot be asked, or refuses; what was done so far stands.
    """
    done: list[str] = []
    found: dict[str, str] = {}
    for node in registrar.nodes():
        if only not in {None, node.name}:
            continue
        member = roll.members.get(node.name)
        if member is not None and member.admitted and member.public_key == node.public_key:
            found[node.name] = node.node_id
        else:
            registrar.unregister(node.node_id)
            done.append(f"center '{node.name}': key {fingerprint(node.public_key)} is turned away")
    for center, member in roll.members.items():
        if only not in {None, center}:
            continue
        if member.admitted and center not in found:
            found[center] = registrar.register(member.public_key, center)
            done.append(f"center '{center}': key {member.fingerprint} is registered")
        roll = roll.having(center, member.model_copy(update={"node_id": found.get(center, "")}))
    return roll, tuple(done)
