"""What a center answers, and its tensors."""

from dataclasses import replace

import numpy as np
import pytest

from protocol.errors import PayloadError
from protocol.messages.reply import MAXIMUM_TEXT, Reply
from protocol.messages.scores import Score
from protocol.messages.text import from_text, to_text
from protocol.modalities import SETTINGS
from protocol.tasks import MAXIMUM_ENDPOINTS, TASKS, metric_named, metric_names
from tests.support.messages import PAYLOAD, REPLY

TENSORS = {"b": np.zeros(1, np.float32)}


def test_the_tensors_of_a_reply_are_its_payloads() -> None:
    assert REPLY.tensors is PAYLOAD.tensors
    assert replace(REPLY, payload=None).tensors == {}


def test_a_reply_takes_other_tensors_into_its_payload() -> None:
    found = REPLY.with_tensors(TENSORS)
    assert found.tensors is TENSORS
    assert replace(found, payload=PAYLOAD) == REPLY


def test_every_figure_of_as_many_endpoints_as_a_study_may_have_leaves_and_arrives() -> None:
    """At the longest names, with what each figure stands on, in all seven settings."""
    names = list(metric_names(TASKS, (f"{number:_>32}".replace("_", "e", 1) for number in range(MAXIMUM_ENDPOINTS))))
    values = {name: None if metric_named(name).of == "count" else 1 / 3 for name in names}
    long = Score(10**6, values)
    long = replace(long, undefined=dict.fromkeys(names, 999_999), rarest=dict.fromkeys(names, 10**6))
    text = to_text(Reply("hgj", "evaluate", scores=dict.fromkeys(SETTINGS, long)))
    assert len(text) < MAXIMUM_TEXT / 2
    assert from_text(Reply, text, MAXIMUM_TEXT).scores["ct"] == long


def test_tensors_beside_no_payload_are_refused() -> None:
    bare = replace(REPLY, payload=None)
    assert bare.with_tensors({}) is bare
    with pytest.raises(PayloadError, match="reply of center 'hgj': field payload is null beside 1 tensor"):
        bare.with_tensors(TENSORS)
