"""Hostile updates in a study of three centers: the run goes on, and no liar moves the result beyond the promise."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from protocol.local_steps import reach_of
from protocol.messages.instruction import Instruction
from protocol.messages.reply import Reply
from protocol.messages.tensors import content_hash
from server.rounds.clipping import FLOOR
from server.rounds.round_end import conclude
from server.rounds.weighing import agree
from server.study.checkpoint import Checkpoint
from server.study.events import Event, Listen, RolledBack, RoundKept
from strategies.aggregation.schemes import SCHEMES
from tests.support.ended_round import Change, Ended, end_round, three_centers
from tests.support.hostile_updates import claiming, filled, first_row_only, times
from tests.support.light_study import Light, light
from tests.support.segmentation_scores import dice_score

pytestmark = pytest.mark.usefixtures("no_report")

SHARED = sorted(set(SCHEMES) - {"lorm", "local-only"})
"""What can be trained without an observation, and exchanges anything."""
OnReply = Callable[[Instruction, Reply], Reply]
REGISTERED = {name: {"train": 5, "validation": 5} for name in "abc"}


def concluded(folder: Path, scheme: str, changes: dict[str, Change]) -> tuple[Ended, Checkpoint]:
    ended = end_round(folder, changes, three_centers(scheme))
    state = agree(ended.entered.state, REGISTERED)
    return ended, conclude(ended.under_way, state, ended.records, ended.inbox)


def effect(state: Checkpoint) -> NDArray[np.float64]:
    """C + s B A of the one module; s = alpha / r = 2."""
    tensors = {key: array.astype(np.float64) for key, array in state.shared.items()}
    update = np.asarray(2 * tensors["qkv#lora_b"] @ tensors["qkv#lora_a"])
    return update + tensors["qkv#residual_b"] @ tensors["qkv#residual_a"] if "qkv#residual_b" in tensors else update


@pytest.mark.parametrize("scheme", SHARED)
@pytest.mark.parametrize(
    "attack", [times(1e4), filled(3e38), filled(-1e9), times(-1e4)], ids=["x10000", "3e38", "-1e9", "-x10000"]
)
def test_what_no_steps_can_have_moved_is_refused_and_the_others_decide(
    attack: Change, scheme: str, tmp_path: Path
) -> None:
    _, after = concluded(tmp_path / "attacked", scheme, {"c": attack})
    assert [record.error for record in after.history.rounds] == ["", "", "norm"]
    honest = end_round(tmp_path / "honest", {"c": attack}, three_centers(scheme))
    two = tuple(record for record in honest.records if record.center != "c")
    alone = conclude(honest.under_way, agree(honest.entered.state, REGISTERED), two, honest.inbox)
    for key, array in alone.shared.items():
        np.testing.assert_array_equal(after.shared[key], array, err_msg=key)
    assert max(float(np.abs(array).max()) for array in after.shared.values()) < 2


@pytest.mark.parametrize("scheme", SHARED)
@pytest.mark.parametrize(
    "attack",
    [filled(0.0), times(0.0), times(1e-9), first_row_only, times(-1.0)],
    ids=["zeros", "nothing", "tiny", "rank-one", "turned"],
)
def test_whatever_a_liar_sends_the_run_goes_on_and_stays_small(attack: Change, scheme: str, tmp_path: Path) -> None:
    """B begins at zero, and no entry of it or of A moves by more than the reach of the round."""
    ended, after = concluded(tmp_path, scheme, {"c": attack})
    reach = reach_of(ended.under_way.training).move
    largest = float(np.abs(ended.entered.state.shared["qkv#lora_a"]).sum(axis=0).max())
    assert after.server_round == 1
    assert np.abs(effect(after)).max() <= 2 * reach * (largest + 2 * reach)


@pytest.mark.parametrize("scheme", ["fedit", "alt-exact", "ffa-lora", "rolora"])
def test_within_what_steps_can_do_a_liar_moves_the_mean_by_its_share_of_twice_the_others(
    scheme: str, tmp_path: Path
) -> None:
    ended, after = concluded(tmp_path / "attacked", scheme, {"c": pushed(1.9e-4)})
    _, honest = concluded(tmp_path / "honest", scheme, {"c": times(0.0)})
    norms = [record.update_norms["peft"] for record in ended.records[:2]]
    values = sum(array.size for array in ended.inbox.read("c", "adapt", 1).tensors.values())
    floor = FLOOR * reach_of(ended.under_way.training).move * values**0.5
    moved = sum(float(np.square(after.shared[key].astype(float) - honest.shared[key]).sum()) for key in honest.shared)
    assert ended.record("c").error == ""
    assert moved**0.5 <= max(2 * float(np.median(norms)), floor) / 3 * 1.01


def test_two_that_send_next_to_nothing_do_not_silence_the_third(tmp_path: Path) -> None:
    found = light(tmp_path, three_centers(), "abc")
    for name in "bc":
        found.centers[name].change = in_training(times(1e-6))
    found.run()
    assert [error for _, center, error in found.errors if center == "a"] == ["", "", ""]


@pytest.mark.parametrize("scheme", ["fedit", "alt-exact"])
def test_a_claim_of_a_million_cases_is_half_of_the_mean_at_most(scheme: str, tmp_path: Path) -> None:
    ended, refused = concluded(tmp_path / "later", scheme, {"c": claiming(10**6)})
    assert [record.error for record in refused.history.rounds] == ["", "", "support"]
    ended = end_round(tmp_path / "first", {}, three_centers(scheme))
    lied = {**REGISTERED, "c": {"train": 10**6, "validation": 5}}
    payload = ended.inbox.read("c", "adapt", 1)
    ended.inbox.put(claiming(10**6)(payload, {}))
    records = [replace(r, support={"peft": 10**6}) if r.center == "c" else r for r in ended.records]
    after = conclude(ended.under_way, agree(ended.entered.state, lied), records, ended.inbox)
    sent = {name: ended.inbox.read(name, "adapt", 1).tensors["qkv#lora_b"] for name in "abc"}
    np.testing.assert_allclose(
        after.shared["qkv#lora_b"], 0.25 * sent["a"] + 0.25 * sent["b"] + 0.5 * sent["c"], rtol=1e-5
    )


def test_a_round_that_ruined_the_state_is_undone_and_a_resumed_study_has_the_same_bits(tmp_path: Path) -> None:
    """Two of three find the state after round 1 ruined; the third says that all is well. Killed right after round 2."""
    straight, killed = study_of_doubt(tmp_path / "straight"), study_of_doubt(tmp_path / "killed")
    told: list[Event] = []
    straight.run(told.append)
    with pytest.raises(KeyboardInterrupt):
        killed.run(interrupt_after(2))
    again = study_of_doubt(tmp_path / "killed")
    again.run()
    assert straight.state.history.rollbacks == again.state.history.rollbacks
    assert [(found.server_round, found.restored_round) for found in straight.state.history.rollbacks] == [(2, 0)]
    assert straight.hashes == again.hashes
    assert straight.state.server_round == 3
    assert [event.record.falls for event in told if isinstance(event, RolledBack)] == [{"a": 0.6, "b": 0.6, "c": -0.4}]
    trained = [done for done in straight.centers["a"].performed if done.kind == "train"]
    first, _, third = (content_hash(instruction.tensors) for instruction in trained)
    assert third == first


def test_scores_that_nobody_asked_for_prevent_no_rollback(tmp_path: Path) -> None:
    """Rounds 1 and 3 are scored. The third center scores round 2 too, as well as if nothing had fallen."""
    found = light(tmp_path, three_centers() + "validate_every = 2\n", "abc")
    for name in "abc":
        found.centers[name].change = scoring_unasked if name == "c" else ruined_in_round_three
    found.run()
    (rollback,) = found.state.history.rollbacks
    assert (rollback.server_round, rollback.restored_round, rollback.falls) == (3, 0, {"a": 0.6, "b": 0.6, "c": 0.0})


def scoring_unasked(instruction: Instruction, reply: Reply) -> Reply:
    return replace(reply, scores={"ct": dice_score(5, 0.6, 3.0)}) if instruction.kind == "train" else reply


def ruined_in_round_three(instruction: Instruction, reply: Reply) -> Reply:
    if instruction.training is None or not instruction.training.validate_first:
        return reply
    return replace(reply, scores={"ct": dice_score(5, 0.0 if instruction.server_round == 3 else 0.6, 3.0)})


def study_of_doubt(folder: Path) -> Light:
    """Three centers of which two find the state of round 2 worthless."""
    found = light(folder, three_centers(), "abc")
    for name, dice in {"a": 0.0, "b": 0.0, "c": 1.0}.items():
        found.centers[name].change = doubting(dice)
    return found


def doubting(dice: float) -> OnReply:
    """A center whose score is 0.6 but in the second round."""

    def changed(instruction: Instruction, reply: Reply) -> Reply:
        value = dice if instruction.server_round == 2 else 0.6
        return replace(reply, scores={"ct": dice_score(5, value, 3.0)}) if instruction.kind == "train" else reply

    return changed


def interrupt_after(number: int) -> Listen:
    """A listener that ends the run once a round is on the disk."""

    def listen(event: Event) -> None:
        if event == RoundKept(number):
            raise KeyboardInterrupt

    return listen


def in_training(change: Change) -> OnReply:
    """A center whose updates are changed."""

    def changed(instruction: Instruction, reply: Reply) -> Reply:
        if reply.payload is None or instruction.kind != "train":
            return reply
        return replace(reply, payload=change(reply.payload, instruction.tensors))

    return changed


def pushed(far: float) -> Change:
    """Every entry moves as far."""
    return lambda payload, received: replace(
        payload, tensors={key: received[key] + np.float32(far) for key in payload.tensors}
    )
