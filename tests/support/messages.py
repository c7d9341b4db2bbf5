"""Messages for tests: one of each by hand, and all that Hypothesis can draw."""

import json
from dataclasses import fields
from typing import Any, get_args

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from protocol.messages.benefit import AGAINST, Benefit
from protocol.messages.facts import FACT_TEXT
from protocol.messages.instruction import Instruction, Kind
from protocol.messages.payload import Payload, phase_of
from protocol.messages.reply import Reply
from protocol.messages.scores import Comparison, Score
from protocol.messages.settings import ROLES, Adapter, Model, StudySettings, Training
from protocol.messages.tensors import GROUPS
from protocol.messages.text import to_text
from protocol.modalities import SETTINGS
from protocol.names import NAME
from protocol.observations import OBSERVED
from protocol.tasks import TASKS
from tests.support.segmentation_scores import dice_score

PRINTED = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
KINDS = st.sampled_from(get_args(Kind))
COUNTS = st.integers(0, 10**6)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(max_size=12)
CENTERS = st.just("") | st.from_regex(NAME, fullmatch=True)
LABELS = NAMES.filter(str.isprintable)
HASHES = st.text("0123456789abcdef", max_size=64)
ROUNDS = st.integers(0, 10**6)
KEYS = st.sampled_from(["blocks.0.attn.qkv#lora_a", "tensors/a", "/"]) | st.text(PRINTED, min_size=1, max_size=20)
TENSORS = st.dictionaries(
    KEYS, arrays(np.float32, array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)), max_size=4
)
STUDIES = st.builds(
    StudySettings,
    study=NAMES,
    seed=st.integers(0, 2**63 - 1),
    model=st.builds(
        Model,
        name=NAMES,
        options=st.dictionaries(NAMES, st.booleans() | COUNTS | FINITE | NAMES | st.tuples(COUNTS, COUNTS), max_size=4),
    ),
    adapter=st.builds(Adapter, targets=st.lists(NAMES, max_size=2).map(tuple)),
)
TRAININGS = st.builds(
    Training,
    groups=st.sampled_from([("backbone",), ("pet", "peft"), ("center", "norm")]),
    roles=st.sampled_from([(), ("lora_b", "magnitude")]),
    terms=st.fixed_dictionaries({"scaffold": st.booleans(), "ewc": st.floats(0, 9)}),
    validate_first=st.booleans(),
    local_steps=st.integers(1, 999),
    learning_rate=st.floats(1e-9, 1),
    modality_shares=st.dictionaries(st.sampled_from(SETTINGS), st.floats(0, 1)),
)
INSTRUCTIONS = st.builds(
    Instruction,
    kind=KINDS,
    settings=STUDIES,
    stage=LABELS,
    server_round=ROUNDS,
    backbone_hash=HASHES,
    training=st.none() | TRAININGS,
    tensors=TENSORS,
    backbone=TENSORS,
    reference=TENSORS,
    statistics=st.lists(st.sampled_from(["gram", "fisher", "prototype"]), max_size=3).map(tuple),
)
FACT_TEXTS = st.from_regex(FACT_TEXT, fullmatch=True)
SHARES = st.none() | st.floats(0, 1)
FIGURES = st.fixed_dictionaries({"dice": SHARES, "hd95_mm": st.none() | st.floats(0, 1e4), "concordance/death": SHARES})
SCORES = COUNTS.filter(bool).flatmap(
    lambda cases: st.builds(
        Score,
        cases=st.just(cases),
        values=FIGURES,
        undefined=st.fixed_dictionaries({"hd95_mm": st.integers(0, cases - 1)}),
    )
)
PAYLOADS = st.builds(
    Payload,
    center=CENTERS,
    backbone_hash=HASHES,
    stage=LABELS,
    server_round=ROUNDS,
    tensors=TENSORS,
    support=st.dictionaries(st.sampled_from([*GROUPS, *OBSERVED]), COUNTS, max_size=3),
    phase=st.sets(st.sampled_from(ROLES)).map(phase_of),
    frozen_hash=HASHES,
)
COMPARISONS = st.builds(
    Comparison,
    cases=COUNTS,
    difference=st.none() | st.floats(-1, 1),
    standard_error=st.none() | st.floats(0, 1),
)
BENEFITS = st.builds(
    Benefit,
    task=st.sampled_from(list(TASKS)),
    setting=st.sampled_from(SETTINGS),
    against=st.sampled_from(AGAINST),
    cases=st.just(10**6),
    comparison=st.none() | COMPARISONS,
)
REPLIES = st.builds(
    Reply,
    center=CENTERS,
    kind=KINDS,
    error=NAMES,
    payload=st.none() | PAYLOADS,
    scores=st.dictionaries(st.sampled_from(SETTINGS), SCORES),
    comparison=st.none() | COMPARISONS,
    benefits=st.lists(BENEFITS, max_size=4, unique_by=lambda told: (told.task, told.setting, told.against)).map(tuple),
    diagnostics=st.dictionaries(st.sampled_from(["gate/0/ct/mean", "gate/3/pet/std"]), st.floats(0, 0.5)),
    loss=st.none() | st.floats(-1e9, 1e9),
    seconds=st.floats(0, 1e7),
    facts=st.fixed_dictionaries({}, optional={"cases": COUNTS, "train_cases": COUNTS, "device": FACT_TEXTS}),
)
SETTINGS_SMALL = StudySettings(study="s", seed=1, model=Model(name="pemma-unetr"))
INSTRUCTION = Instruction(kind="train", settings=SETTINGS_SMALL, tensors={"a": np.arange(6, dtype=np.float32)})
PAYLOAD = Payload("hgj", "abc", "adapt", 3, {"a": np.ones((2, 2), np.float32)}, {"peft": 12})
REPLY = Reply(center="hgj", kind="train", payload=PAYLOAD, scores={"ct": dice_score(3, 0.5, None, 0, 3)}, loss=0.25)


def exactly(value: Any) -> Any:
    """A value with arrays replaced by shape, dtype and bytes, so that `==` means bit for bit."""
    if isinstance(value, Instruction | Reply | Payload):
        return {field.name: exactly(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {key: exactly(item) for key, item in value.items()}
    return (value.shape, value.dtype, value.tobytes()) if isinstance(value, np.ndarray) else (type(value), value)


def reply_json(**changes: Any) -> str:
    """The text of `REPLY` with fields replaced, or removed where the new value is `...`."""
    text = json.loads(to_text(REPLY))
    return json.dumps({key: value for key, value in {**text, **changes}.items() if value is not ...})
