"""A center shares secrets with centers that the authority knows, masks once, and unmasks one sum of enough centers."""

from dataclasses import replace

import numpy as np
import pytest

from client.masking.masked_sums import MaskedSums
from protocol.errors import NormError, SecureSumError
from protocol.messages.payload import frozen_hash
from protocol.messages.secure_sum import SumRequest
from protocol.messages.tensors import PEFT, PET
from strategies.secure_sum.keys import draw_secret, public_key
from tests.support.enrolled_study import new_key
from tests.support.summing import CENTERS, SENT, Summing, trained


@pytest.fixture(scope="module")
def masked() -> Summing:
    """A sum of which only the last phase is left."""
    found = Summing()
    found.said = found.to_unmask()  # type: ignore[attr-defined]
    return found


def test_a_masked_reply_holds_no_count_no_loss_and_no_tensor() -> None:
    summing = Summing()
    boxes = summing.share(summing.plan())
    reply = summing.train("a", boxes["a"])
    assert reply.payload is not None
    assert (reply.loss, reply.suppressed.parts, dict(reply.payload.support)) == (None, ("loss",), {})
    assert set(reply.payload.tensors) == {"masked.peft", "masked.pet", "masked.loss"}
    assert reply.secure is not None
    assert reply.secure.contribution is not None
    assert reply.secure.contribution.groups == ("loss", PEFT, PET)


def test_the_coordinator_cannot_put_a_key_of_its_own_in_between() -> None:
    """The key of center b is replaced by one whose secret the coordinator has, under b's old signature."""
    summing = Summing()
    plan = summing.plan()
    forged = replace(plan.keys["b"], mask=public_key(draw_secret()))
    request = SumRequest(plan=replace(plan, keys={**plan.keys, "b": forged}), roster=summing.roster)
    with pytest.raises(SecureSumError, match="keys of center 'b' are not signed"):
        summing.ask("a", "share", request)


def test_a_roster_that_the_authority_did_not_sign_is_refused() -> None:
    summing = Summing()
    forged = Summing(authority=new_key(), keys=summing.keys)
    with pytest.raises(SecureSumError, match="not signed by the authority"):
        summing.ask("a", "share", SumRequest(plan=summing.plan(), roster=forged.roster))


def test_a_center_that_is_in_no_roster_is_shared_with_by_nobody() -> None:
    summing = Summing()
    plan, keys = summing.plan(), dict(summing.keys)
    del keys["d"]
    roster = Summing(authority=summing.authority, keys=keys).roster
    with pytest.raises(SecureSumError, match="center 'd'"):
        summing.ask("a", "share", SumRequest(plan=plan, roster=roster))


def test_a_group_that_a_center_stays_out_of_is_in_the_sum_as_it_was_received() -> None:
    """One PET case weighs less than half of what the plan has: the others' PET is summed, and the adapter of all."""
    summing = Summing(weights=dict.fromkeys(CENTERS, 2.1))
    boxes, plain = summing.share(summing.plan()), trained("a").payload
    assert plain is not None
    reply = summing.train("a", boxes["a"], payload=replace(plain, frozen_hash=frozen_hash(SENT, SENT, plain.tensors)))
    assert reply.payload is not None
    assert reply.secure is not None
    assert reply.secure.contribution is not None
    assert reply.secure.contribution.groups == ("loss", PEFT)
    assert reply.payload.frozen_hash == frozen_hash(SENT, SENT, ["qkv#lora_b"])


def test_a_hash_that_tells_of_something_that_moved_is_not_made_good() -> None:
    summing = Summing(weights=dict.fromkeys(CENTERS, 2.1))
    boxes, plain = summing.share(summing.plan()), trained("a").payload
    assert plain is not None
    reply = summing.train("a", boxes["a"], payload=replace(plain, frozen_hash="moved"))
    assert reply.payload is not None
    assert reply.payload.frozen_hash == "moved"


def test_a_sum_in_which_one_center_outweighs_the_others_is_refused() -> None:
    """3 of 6."""
    heavy = {"a": 3.1, "b": 1.0, "c": 1.0, "d": 1.0}
    summing = Summing(weights=heavy)
    with pytest.raises(SecureSumError, match=r"0\.508 of the weight"):
        summing.share(summing.plan())
    Summing(weights={**heavy, "a": 3.0}).to_unmask()


def test_a_sum_in_which_centers_weigh_next_to_nothing_is_refused() -> None:
    """Half each of two, beside which c and d disappear."""
    summing = Summing(weights={"a": 1.0, "b": 1.0, "c": 1e-300, "d": 1e-300})
    with pytest.raises(SecureSumError, match=r"\['c', 'd'\] have less than 0.05 of the mean weight"):
        summing.share(summing.plan())


def test_two_centers_are_too_few_to_hide_among() -> None:
    summing = Summing()
    plan = summing.plan()
    few = replace(plan, keys={name: plan.keys[name] for name in "ab"})
    with pytest.raises(SecureSumError, match="2 centers take part, expected 3"):
        summing.ask("a", "share", SumRequest(plan=few, roster=summing.roster))


def test_boxes_of_one_other_center_are_too_few() -> None:
    summing = Summing()
    boxes = summing.share(summing.plan())
    with pytest.raises(SecureSumError, match=r"boxes of 1 other center\(s\) came, expected 2"):
        summing.train("a", {"b": boxes["a"]["b"]})


def test_the_same_round_is_masked_once() -> None:
    """Two masked vectors under one mask would give their difference away."""
    summing = Summing()
    boxes = summing.share(summing.plan())
    summing.train("a", boxes["a"])
    with pytest.raises(SecureSumError, match="was masked before"):
        summing.train("a", boxes["a"])


def test_not_a_number_and_a_leap_are_refused_before_they_are_masked() -> None:
    summing = Summing()
    boxes = summing.share(summing.plan())
    payload = trained("a", moved=50.0).payload
    with pytest.raises(NormError, match="farther"):
        summing.train("a", boxes["a"], payload=payload)
    assert payload is not None
    nowhere = replace(payload, tensors={**payload.tensors, "qkv#lora_b": np.full((2, 1), np.nan, np.float32)})
    with pytest.raises(NormError):
        summing.train("a", boxes["a"], payload=nowhere)


@pytest.mark.parametrize("changed", ["tensors", "reference", "backbone_hash"])
def test_a_center_that_is_sent_another_state_than_the_others_masks_nothing(changed: str) -> None:
    """The true state to a and zeros to the others: the sum would be the update of a."""
    summing = Summing()
    boxes = summing.share(summing.plan())
    zeros = {key: np.zeros_like(array) for key, array in SENT.items()}
    other = {"tensors": zeros, "reference": zeros, "backbone_hash": "another"}[changed]
    with pytest.raises(SecureSumError, match="stands alone in their sum"):
        summing.train("b", boxes["b"], sent={changed: other})
    assert summing.train("a", boxes["a"]).secure is not None


def test_a_sum_is_unmasked_in_one_way(masked: Summing) -> None:
    """First as a sum of all, then as one that center d left: both secrets of d would be out."""
    said = masked.said  # type: ignore[attr-defined]
    first = masked.ask("a", "unmask", SumRequest(survivors=said))
    assert masked.ask("a", "unmask", SumRequest(survivors=said)) == first
    without = {name: found for name, found in said.items() if name != "d"}
    with pytest.raises(SecureSumError, match="in two ways"):
        masked.ask("a", "unmask", SumRequest(survivors=without))


def test_of_who_is_there_no_pairs_are_given_out(masked: Summing) -> None:
    found = masked.ask("b", "unmask", SumRequest(survivors=masked.said))  # type: ignore[attr-defined]
    assert {center: sorted(parts) for center, parts in found.shares.items()} == {
        center: ["own:loss", "own:peft", "own:pet"] for center in CENTERS
    }


@pytest.mark.parametrize(
    ("survivors", "why"),
    [("ab", "a sum of"), ("abd", "a sum of"), ("abx", "a sum of")],
)
def test_a_sum_of_too_few_or_of_others_stays_masked(masked: Summing, survivors: str, why: str) -> None:
    """Center c is not among those whose sum it is asked to unmask, or they are two."""
    said = masked.said  # type: ignore[attr-defined]
    asked = {name: said.get(name, said["a"]) for name in survivors}
    with pytest.raises(SecureSumError, match=why):
        masked.ask("c", "unmask", SumRequest(survivors=asked))


def test_the_coordinator_cannot_say_that_a_center_stands_behind_more() -> None:
    """PET of three centers; without b's word it would be opened for two."""
    summing = Summing()
    said = summing.to_unmask()
    forged = {**said, "d": replace(said["d"], groups=("loss", PEFT, PET))}
    with pytest.raises(SecureSumError, match="center 'd' is said to stand behind"):
        summing.ask("a", "unmask", SumRequest(survivors=forged))


def test_a_trainer_that_was_started_again_has_left_the_sum() -> None:
    summing = Summing()
    boxes = summing.share(summing.plan())
    summing.centers["a"] = MaskedSums("a", "")
    with pytest.raises(SecureSumError, match="started again"):
        summing.train("a", boxes["a"])


def test_a_trainer_without_an_authority_shares_nothing() -> None:
    summing = Summing()
    summing.centers["a"] = MaskedSums("a", "")
    with pytest.raises(SecureSumError, match="knows no authority"):
        summing.ask("a", "share", SumRequest(plan=summing.plan(), roster=summing.roster))


def test_a_second_plan_of_the_same_sum_is_refused_and_the_first_is_answered_alike() -> None:
    summing = Summing()
    plan = summing.plan()
    request = SumRequest(plan=plan, roster=summing.roster)
    assert summing.ask("a", "share", request) == summing.ask("a", "share", request)
    with pytest.raises(SecureSumError, match="another plan"):
        summing.ask("a", "share", SumRequest(plan=replace(plan, exponent=1.0), roster=summing.roster))
