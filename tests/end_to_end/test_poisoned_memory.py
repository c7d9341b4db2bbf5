"""One center that lies about what it observed slows nobody down by more than half, alone in a stage or among others.

An adapted Linear 24 -> 16 is trained for 40 steps beside a memory that an honest and a lying center left; what counts
is how far B moves, against the same training beside an honest memory.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from client.local_terms.contract import LocalTerm, Round
from client.local_terms.ewc import build as build_ewc
from client.local_terms.gram_anchor import build as build_gram
from client.local_terms.scaffold import build as build_scaffold
from fusion_models.adapters.injection import inject, lora_config
from fusion_models.adapters.keys import parameters_by_key
from protocol.messages.payload import Payload
from protocol.messages.reply import Reply
from protocol.messages.settings import Adapter, Model, StudySettings, Training
from server.grid.center_answer import CenterAnswer
from server.rounds.closing import remember
from strategies.continual.memory import merge_controls
from strategies.continual.observed_sizes import bound_controls
from strategies.strategy import Strategy
from tests.support.segmentation_task import batch, segmentation

Arrays = dict[str, NDArray[np.float32]]
WIDTH, RANK, BATCH, STEPS = 24, 4, 16, 40
BUILD = {"gram": build_gram, "fisher": build_ewc}
WEIGHTS = {"gram": 0.1, "fisher": 1.0}
TERMS = {"gram": "gram_anchor", "fisher": "ewc"}


class Scene:
    """Data of one center, the adapted network, and what an honest center observes on them."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        drawn = torch.randn(256, WIDTH) * torch.linspace(0.3, 2, WIDTH)
        self.x = nn.functional.layer_norm(drawn, (WIDTH,))
        self.y = self.x @ torch.randn(WIDTH, 16) / WIDTH**0.5
        torch.manual_seed(7)
        config = lora_config(method="lora", rank=RANK, alpha=2 * RANK, targets=["0"])
        self.model = inject(nn.Sequential(nn.Linear(WIDTH, 16)), config, seed=7)
        with torch.no_grad():
            self.parameters["0#lora_b"].normal_(std=0.02)
        for key, parameter in parameters_by_key(self.model).items():
            parameter.requires_grad = "#" in key

    @property
    def parameters(self) -> dict[str, nn.Parameter]:
        return {key: found for key, found in parameters_by_key(self.model).items() if "#" in key}

    def arrays(self) -> Arrays:
        return {key: found.detach().numpy().copy() for key, found in self.parameters.items()}

    def loss(self, rows: Tensor) -> Tensor:
        return nn.functional.mse_loss(self.model(self.x[rows]), self.y[rows])

    def observed(self, kind: str) -> Arrays:
        if kind == "gram":
            return {"0@gram": (self.x / len(self.x) ** 0.5).numpy()}
        squares = {key: torch.zeros_like(found) for key, found in self.parameters.items()}
        for row in range(64):
            found = torch.autograd.grad(self.loss(torch.tensor([row])), list(self.parameters.values()))
            for key, gradient in zip(self.parameters, found, strict=True):
                squares[key] += gradient.square() / 64
        return {f"{key}@fisher": found.numpy() for key, found in squares.items()}

    def control(self) -> Arrays:
        """The mean gradient."""
        found = torch.autograd.grad(self.loss(torch.arange(len(self.x))), list(self.parameters.values()))
        return {f"{key}@control": gradient.numpy() for key, gradient in zip(self.parameters, found, strict=True)}

    def movement(self, received: Arrays, build: object, weight: float) -> float:
        """|B - B at the start| after 40 steps of AdamW beside a term."""
        start = self.arrays()
        training = Training(
            groups=("peft",), local_steps=STEPS, learning_rate=1e-3, batch_size=BATCH, modality_shares={"ct": 1.0}
        )
        adapter = Adapter(rank=RANK, alpha=2 * RANK)
        settings = StudySettings(study="s", seed=0, model=Model(name="pemma-unetr-tiny"), adapter=adapter)
        around = Round(
            self.model,
            training,
            {**start, **received},
            start,
            settings,
            segmentation(),
            {},
            lambda _: self.model,
            STEPS,
        )
        term: LocalTerm | None = build(around, weight)  # type: ignore[operator]
        assert term is not None
        optimiser = torch.optim.AdamW(list(self.parameters.values()), lr=1e-3)
        drawn = torch.Generator().manual_seed(1)
        for _ in range(STEPS):
            self._step(term, optimiser, torch.randint(0, len(self.x), (BATCH,), generator=drawn))
        return float(np.linalg.norm(self.arrays()["0#lora_b"] - start["0#lora_b"]))

    def _step(self, term: LocalTerm, optimiser: torch.optim.Optimizer, rows: Tensor) -> None:
        term.remember(batch())
        optimiser.zero_grad()
        loss = self.loss(rows)
        penalty = term.penalty(batch(), loss)
        loss.backward()
        if penalty is not None:
            penalty.backward()
        term.adjust_gradients()
        optimiser.step()


def remembered(kind: str, stages: "list[Mapping[str, Arrays]]") -> Arrays:
    """What the coordinator remembers of stages: center -> what it observed."""
    strategy = Strategy.model_validate({"terms": {TERMS[kind]: 1.0}})
    memory: Arrays = {}
    own: dict[str, Mapping[str, NDArray[np.float32]]] = {}
    for stage in stages:
        answers = {center: answered(center, kind, tensors) for center, tensors in stage.items()}
        memory, own = remember(memory, own, answers, strategy)
    return memory


def answered(center: str, kind: str, tensors: Arrays) -> CenterAnswer:
    payload = Payload(center, "", "adapt", 1, tensors, support={kind: 10})
    return CenterAnswer(Reply(center, "observe", payload=payload))


def times(tensors: Arrays, scale: float, kind: str) -> Arrays:
    """A Gram matrix or Fisher so many times as large, as far as float32 goes."""
    factor = scale**0.5 if kind == "gram" else scale
    return {key: (array * factor).clip(-3e38, 3e38).astype(np.float32) for key, array in tensors.items()}


@cache
def honest_movement(kind: str, stages: int) -> float:
    memory = remembered(kind, [{str(stage): Scene(stage).observed(kind)} for stage in range(stages)])
    return Scene().movement(memory, BUILD[kind], WEIGHTS[kind])


@pytest.mark.parametrize("kind", ["gram", "fisher"])
@pytest.mark.parametrize("scale", [1e6, 1e20])
def test_a_liar_alone_in_the_first_stage_halves_nobodys_movement(kind: str, scale: float) -> None:
    memory = remembered(kind, [{"liar": times(Scene().observed(kind), scale, kind)}])
    assert honest_movement(kind, 1) <= 2 * Scene().movement(memory, BUILD[kind], WEIGHTS[kind])


@pytest.mark.parametrize("kind", ["gram", "fisher"])
@pytest.mark.parametrize("scale", [1e6, 1e20])
def test_a_liar_among_centers_that_come_one_by_one_halves_nobodys_movement(kind: str, scale: float) -> None:
    stages = [{str(stage): Scene(stage).observed(kind)} for stage in range(2)]
    memory = remembered(kind, [*stages, {"liar": times(Scene(2).observed(kind), scale, kind)}])
    assert honest_movement(kind, 3) <= 2 * Scene().movement(memory, BUILD[kind], WEIGHTS[kind])


@pytest.mark.parametrize("kind", ["gram", "fisher"])
def test_beside_an_honest_memory_nothing_is_scaled(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the bounds at the center the same numbers come of it, bit for bit."""
    found = honest_movement(kind, 3)
    monkeypatch.setattr("client.local_terms.gram_anchor.INPUTS_FACTOR", 1e30)
    monkeypatch.setattr("client.local_terms.ewc.FISHER_FACTOR", 1e30)
    memory = remembered(kind, [{str(stage): Scene(stage).observed(kind)} for stage in range(3)])
    assert Scene().movement(memory, BUILD[kind], WEIGHTS[kind]) == found


@pytest.mark.parametrize("value", [1e6, 3e38, -3e38])
def test_a_control_variate_of_any_size_leaves_a_center_its_own_direction(value: float) -> None:
    """Two honest centers and a liar: the honest loss still falls."""
    scene = Scene()
    honest = {str(seed): Scene(seed).control() for seed in (1, 2)}
    lie = {key: np.full_like(array, value) for key, array in honest["1"].items()}
    sent = bound_controls({**honest, "liar": lie}, "@control")
    shared = merge_controls({}, {}, sent, 3)
    assert all(np.isfinite(array).all() for array in shared.values())
    before = scene.loss(torch.arange(256)).item()
    scene.movement(shared, build_scaffold, 1.0)
    assert scene.loss(torch.arange(256)).item() < before
