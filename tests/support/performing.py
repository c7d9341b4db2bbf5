"""What a test puts in a trainer's place: it performs, and seals what it says as a trainer does."""

from client.learning.cancellation import Check, never_cancelled
from client.outgoing.sealed_reply import SealedReply, seal
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply


class Performing:
    """The base of such a stand-in."""

    def perform(self, instruction: Instruction, check: Check = never_cancelled, /) -> Reply:
        """What a test says here."""
        raise NotImplementedError

    def answer(self, instruction: Instruction, check: Check = never_cancelled) -> SealedReply:
        """The same, sealed."""
        return seal(self.perform(instruction, check))
