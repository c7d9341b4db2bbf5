"""A center's signature on what it says in a sum: by the key that it enrolled, which lies with the network's side.

What has the data has no such key, and needs none: it checks the other centers' signatures itself, so that a node that
was taken over can speak in its own center's name and nobody else's, and learns nothing of its own center's tensors.
"""

from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from client.service.failure import Perform
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.secure_sum import contribution_statement, keys_statement


def perform_and_sign(perform: Perform, read_key: Callable[[], ec.EllipticCurvePrivateKey]) -> Perform:
    """Perform as `perform` does; what is of a sum is signed, and only for that the key is read."""

    def signed(instruction: Instruction) -> Reply:
        reply = perform(instruction)
        return reply if reply.secure is None else sign_reply(reply, instruction, read_key())

    return signed


def sign_reply(reply: Reply, instruction: Instruction, key: ec.EllipticCurvePrivateKey) -> Reply:
    """The reply with the signatures that belong to it; any other as it is."""
    said = reply.secure
    if said is None:
        return reply
    if said.keys is not None:
        place = (instruction.settings.study, instruction.stage, instruction.server_round)
        of = "train" if instruction.secure is None else instruction.secure.of
        statement = keys_statement(*place, reply.center, said.keys, of)
        said = replace(said, keys=replace(said.keys, signature=_sign(key, statement)))
    if said.contribution is not None:
        statement = contribution_statement(reply.center, said.contribution)
        said = replace(said, contribution=replace(said.contribution, signature=_sign(key, statement)))
    return replace(reply, secure=said)


def _sign(key: ec.EllipticCurvePrivateKey, statement: bytes) -> str:
    return key.sign(statement, ec.ECDSA(hashes.SHA384())).hex()
