"""Where a study stands, kept and read back; what is damaged or of another schema is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import save as safetensors_bytes

from protocol.errors import StorageError
from protocol.messages.benefit import Benefit
from protocol.messages.scores import Comparison
from server.study import checkpoint
from server.study.checkpoint import Checkpoint
from server.study.history import History, RoundRecord, StageRow
from server.study.history_file import HistoryFile
from tests.support.segmentation_scores import dice_score

SCORE = dice_score(cases=3, dice=0.1 + 0.2, hd95_mm=None, hd95_undefined=3)
HISTORY = History(
    rounds=(
        RoundRecord("adapt", 1, "center-a", loss=1 / 3, cases=7, seconds=0.1, bytes_up=5, validation={"ct": SCORE}),
        RoundRecord("adapt", 1, "center-b", error="cases"),
    ),
    rows=(
        StageRow(
            "adapt",
            {"center-a": {"ct": SCORE, "ct+pet": SCORE}},
            benefits={
                "center-a": (
                    Benefit("segmentation", "ct", "local-only", 3, Comparison(3, 0.1 + 0.2, 0.01)),
                    Benefit("segmentation", "ct", "ct-network", 3, None),
                )
            },
        ),
    ),
)


def full() -> Checkpoint:
    rng = np.random.default_rng(0)
    return Checkpoint(
        stage_index=1,
        server_round=4,
        done=("gate", "observe"),
        backbone_hash="ab" * 32,
        shared={"blocks.0#lora_a": rng.random((2, 3), dtype=np.float32), "scalar": np.array(0.1, np.float32)},
        accepted={"blocks.0#lora_a": rng.random((2, 3), dtype=np.float32)},
        memory={"blocks.0@gram": rng.random((2, 3), dtype=np.float32)},
        accepted_own={"center-b": {"blocks.0#center_b": rng.random((3, 1), dtype=np.float32)}},
        branches={"center/1": {"blocks.0#lora_a": rng.random((2, 3), dtype=np.float32)}},
        own={"center/1": {"blocks.0#lora_a": rng.random((2, 3), dtype=np.float32).T}, "center-b": {}},
        history=HISTORY,
        tracking={"study": "0f"},
    )


def saved_at(path: Path) -> Checkpoint:
    loaded = checkpoint.load(path)
    assert loaded is not None
    return loaded


def assert_same(one, two):
    assert list(one) == sorted(two)
    for key in one:
        assert one[key].shape == two[key].shape
        assert one[key].tobytes() == np.asarray(two[key], order="C").tobytes()


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path):
    saved = full()
    checkpoint.save(tmp_path / "c.safetensors", saved)
    loaded = saved_at(tmp_path / "c.safetensors")
    assert loaded.history == HISTORY
    assert loaded.history.rounds[0].loss == 1 / 3
    assert loaded.history.rows[0].test["center-a"]["ct"].value("hd95_mm") is None
    assert (loaded.stage_index, loaded.server_round, loaded.done) == (1, 4, ("gate", "observe"))
    assert (loaded.backbone_hash, loaded.tracking) == ("ab" * 32, {"study": "0f"})
    assert_same(loaded.shared, saved.shared)
    assert list(loaded.own) == ["center/1", "center-b"]
    assert_same(loaded.own["center/1"], saved.own["center/1"])
    assert loaded.own["center-b"] == {}
    for part in ("accepted", "memory"):
        assert_same(getattr(loaded, part), getattr(saved, part))
    assert_same(loaded.accepted_own["center-b"], saved.accepted_own["center-b"])
    assert_same(loaded.branches["center/1"], saved.branches["center/1"])


def test_saving_what_was_loaded_gives_the_same_bytes(tmp_path):
    checkpoint.save(tmp_path / "one" / "c", full())
    checkpoint.save(tmp_path / "two" / "c", saved_at(tmp_path / "one" / "c"))
    assert (tmp_path / "one" / "c").read_bytes() == (tmp_path / "two" / "c").read_bytes()


def test_a_checkpoint_is_as_large_after_many_rounds_as_after_few(tmp_path):
    """It once held the history: after 143 rounds of a thousand centers no file could have held it."""
    path, file = tmp_path / "c", HistoryFile(tmp_path / "c")
    records, sizes = (), []
    for number in range(1, 61):
        records = (*records, *(RoundRecord("s", number, center, loss=0.5) for center in "abcdefgh"))
        checkpoint.save(path, Checkpoint(0, 10, "", {}, history=History(records)), history=file)
        sizes.append(path.stat().st_size)
    assert sizes[-1] - sizes[9] <= 8
    assert saved_at(path).history.rounds == records


def test_a_checkpoint_without_its_history_is_refused(tmp_path):
    checkpoint.save(tmp_path / "c", full())
    (tmp_path / "history.jsonl").unlink()
    for read in (checkpoint.load, checkpoint.load_facts):
        with pytest.raises(StorageError, match=r"history .* is damaged"):
            read(tmp_path / "c")


def test_more_than_ten_centers_keep_their_own_tensors(tmp_path):
    own = {f"c{number}": {"w": np.full((1,), number, np.float32)} for number in range(12)}
    checkpoint.save(tmp_path / "c", Checkpoint(0, 0, "", {}, own=own))
    loaded = saved_at(tmp_path / "c")
    assert {center: tensors["w"].item() for center, tensors in loaded.own.items()} == {
        f"c{number}": number for number in range(12)
    }


def test_there_is_no_checkpoint_before_the_first_round(tmp_path):
    assert checkpoint.load(tmp_path / "c") is None


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "c"
    checkpoint.save(path, full())
    whole = path.read_bytes()
    for position in (0, 20, len(whole) // 2, len(whole) - 1):
        data = bytearray(whole)
        data[position] ^= 1
        path.write_bytes(data)
        with pytest.raises(StorageError, match=f"checkpoint {path} is damaged"):
            checkpoint.load(path)
    path.write_bytes(whole[:-5])
    with pytest.raises(StorageError, match="is damaged"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("written", "named"), [({}, 1), ({"schema": 4}, 4), ({"schema": 6}, 6)], ids=["before numbers", "former", "later"]
)
def test_a_checkpoint_of_another_schema_is_refused(tmp_path, written, named):
    """A history of the first schema holds `errands` where there are `queries` now."""
    metadata = json.dumps({"facts": json.dumps({"history": {"errands": []}}), "sha256": "", **written})
    (tmp_path / "c").write_bytes(safetensors_bytes({}, {"checkpoint": metadata}))
    with pytest.raises(
        StorageError, match=rf"has schema {named}, this version of concilium reads 5; end the study with"
    ):
        checkpoint.load(tmp_path / "c")


@given(
    arrays.arrays(np.float32, arrays.array_shapes(min_dims=0, max_dims=3), elements=st.floats(width=32)),
    st.none() | st.floats(allow_nan=False),
)
def test_every_float_survives(tmp_path_factory, array, number):
    path = tmp_path_factory.mktemp("c") / "c"
    record = RoundRecord("s", 1, "a", loss=number)
    checkpoint.save(path, Checkpoint(0, 1, "", {"w": array}, history=History((record,))))
    loaded = saved_at(path)
    assert loaded.shared["w"].tobytes() == array.tobytes()
    assert loaded.history.rounds[0].loss == number
