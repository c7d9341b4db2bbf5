from dataclasses import replace

import pytest
import torch

from client.audit import shadow_training
from client.audit.shadow_training import private_steps, train_like
from client.audit.target import AuditTarget
from client.learning.cancellation import never_cancelled
from client.privacy.accountant import epsilon_of
from client.privacy.release import Release
from fusion_models.adapters.keys import parameters_by_key
from protocol.errors import ModelError
from protocol.messages.privacy import Privacy
from tests.support.audited_center import STAGE, pool, target

PRIVACY = Privacy(epsilon=3, delta=0.01, clip_norm=1.0)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> AuditTarget:
    return target(tmp_path_factory.mktemp("bank"))


def test_only_what_the_stage_trains_moves(attacked: AuditTarget) -> None:
    before = parameters_by_key(attacked.begin())
    after = parameters_by_key(train_like(attacked, {"a": pool().of_patients(["a"])}, 0, never_cancelled))
    moved = {key for key, value in after.items() if not torch.equal(value, before[key])}
    assert moved
    assert not [key for key in moved if key in attacked.network.backbone]


def test_what_a_version_does_not_have_is_not_trained(attacked: AuditTarget) -> None:
    nothing = replace(attacked, training=STAGE.model_copy(update={"groups": ("ehr",)}))
    with pytest.raises(ModelError, match=r"shared/0001 has none of the groups \['ehr'\]"):
        train_like(nothing, {"a": pool().of_patients(["a"])}, 0, never_cancelled)


def test_shadows_of_a_private_study_train_privately(attacked: AuditTarget, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two patients a batch of two takes both in the one step, with the noise that epsilon 3 costs."""
    seen = {}
    monkeypatch.setattr(shadow_training, "train_privately", lambda *_, **given: seen.update(given))
    settings = attacked.network.settings.model_copy(update={"privacy": PRIVACY})
    private = replace(attacked, network=replace(attacked.network, settings=settings))
    train_like(private, {name: pool().of_patients([name]) for name in "ab"}, 0, never_cancelled)
    steps = seen["steps"]
    assert (steps.sample_rate, steps.expected, steps.norms) == (1.0, 2.0, 1.0)
    spent = Release("training", "subsampled-gaussian", steps.noise_multiplier, 1.0, 1, "", "", 0)
    assert epsilon_of([spent], PRIVACY.delta) <= 3
    assert seen["settings"] == ["ct", "pet", "ct+pet"]


def test_a_study_without_privacy_has_no_private_steps() -> None:
    with pytest.raises(ValueError, match="train without"):
        private_steps(None, STAGE, 3)
