"""A node signs what its trainer says in a sum with the key that was enrolled, and nothing else."""

from client.node.sum_signing import perform_and_sign, sign_reply
from protocol.enrolment.public_keys import has_signed
from protocol.messages.reply import Reply
from protocol.messages.secure_sum import Contribution, SumAnswer, contribution_statement, keys_statement
from strategies.secure_sum.center_side import OwnSecrets
from tests.support.enrolled_study import new_key, openssh
from tests.support.summing import Summing

KEY = new_key()
ASKED = Summing().instruction("advertise")


def test_keys_are_signed_for_their_study_stage_round_and_center() -> None:
    said = sign_reply(Reply("a", "advertise", secure=SumAnswer(keys=OwnSecrets().keys)), ASKED, KEY).secure
    assert said is not None
    assert said.keys is not None
    assert has_signed(openssh(KEY), said.keys.signature, keys_statement("summing", "adapt", 1, "a", said.keys))
    assert not has_signed(openssh(KEY), said.keys.signature, keys_statement("summing", "adapt", 2, "a", said.keys))
    assert not has_signed(openssh(KEY), said.keys.signature, keys_statement("summing", "adapt", 1, "b", said.keys))


def test_a_contribution_is_signed_for_its_sum() -> None:
    said = sign_reply(
        Reply("a", "train", secure=SumAnswer(contribution=Contribution("ab" * 32, ("peft",)))), ASKED, KEY
    )
    assert said.secure is not None
    assert said.secure.contribution is not None
    found = said.secure.contribution
    assert has_signed(openssh(KEY), found.signature, contribution_statement("a", found))


def test_without_a_sum_no_key_is_read() -> None:
    def no_key():
        raise AssertionError

    plain = Reply("a", "train", loss=0.5)
    assert perform_and_sign(lambda _asked: plain, no_key)(ASKED) is plain
