"""Which calls of a forward pass have frozen weights and inputs that depend on frozen weights only, and what they cost.

What depends on what is asked of autograd: the output of such a call needs no gradient, though something in the network
trains. Of calls within calls the outermost counts. A module may be called twice in a pass, with CT and with PET, so
that a call is known by its module and its number in the pass.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Call(NamedTuple):
    """The nth call of a module in a forward pass, from 0."""

    module: str
    number: int


@dataclass
class Spent:
    """Processor seconds of the outermost frozen calls, and bytes of what a cache would keep of them."""

    seconds: float = 0.0
    kept_bytes: int = 0
    by_module: Counter[str] = field(default_factory=Counter)


def find_frozen(model: nn.Module, *images: Tensor | None) -> dict[Call, bool]:
    """The outermost frozen calls of a pass over images, each with whether a cache would have to keep its output.

    An output that is handed to another frozen call is not kept: that call's is.
    """
    frozen: dict[Call, list[Tensor]] = {}
    inside: dict[Call, tuple[Call, ...]] = {}
    handed: dict[int, tuple[Tensor, list[Call]]] = {}
    stack: list[Call] = []

    def begin(call: Call, inputs: tuple[Any, ...]) -> None:
        inside[call] = tuple(stack)
        stack.append(call)
        for tensor in tensors_in(inputs):
            handed.setdefault(id(tensor), (tensor, []))[1].append(call)

    def end(call: Call, output: Any) -> None:
        stack.pop()
        found = list(tensors_in(output))
        if found and not any(tensor.requires_grad for tensor in found):
            frozen[call] = found

    with watch(model, begin, end), torch.enable_grad():
        model(*images)
    outermost = {call: outputs for call, outputs in frozen.items() if not frozen.keys() & set(inside[call])}
    return {
        call: any(not outermost.keys() & handed.get(id(tensor), (tensor, []))[1] for tensor in outputs)
        for call, outputs in outermost.items()
    }


@contextmanager
def measure_calls(model: nn.Module, calls: Mapping[Call, bool]) -> Iterator[Spent]:
    """What these calls take within, in all passes together."""
    spent, begun = Spent(), dict[Call, float]()

    def begin(call: Call, _inputs: tuple[Any, ...]) -> None:
        if call in calls:
            begun[call] = time.thread_time()

    def end(call: Call, output: Any) -> None:
        if call in calls:
            seconds = time.thread_time() - begun.pop(call)
            spent.seconds += seconds
            spent.by_module[call.module] += seconds
            spent.kept_bytes += calls[call] * sum(tensor.nbytes for tensor in tensors_in(output))

    with watch(model, begin, end, only={call.module for call in calls}):
        yield spent


@contextmanager
def watch(model: nn.Module, begin: Any, end: Any, only: set[str] | None = None) -> Iterator[None]:
    """Say when a module below the network is called and what it gave; calls are counted anew in each pass."""
    numbers, open_calls = Counter[str](), list[Call]()

    def enter(name: str, inputs: tuple[Any, ...]) -> None:
        open_calls.append(Call(name, numbers[name]))
        numbers[name] += 1
        begin(open_calls[-1], inputs)

    with ExitStack() as stack:
        stack.callback(model.register_forward_pre_hook(lambda *_: numbers.clear()).remove)
        for name, module in model.named_modules():
            if name and (only is None or name in only):
                before = module.register_forward_pre_hook(lambda _, inputs, name=name: enter(name, inputs))
                after = module.register_forward_hook(lambda *given: end(open_calls.pop(), given[-1]))
                stack.callback(before.remove)
                stack.callback(after.remove)
        yield


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors of a nested value."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from tensors_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors_in(each)
