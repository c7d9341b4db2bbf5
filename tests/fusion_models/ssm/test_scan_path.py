"""Which implementation of the selective scan a device uses."""

import importlib
import sys
from types import ModuleType

import pytest
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode

from fusion_models.ssm import selective_scan
from fusion_models.ssm.selective_scan import scan_path, selective_scan_fn


@pytest.fixture
def library(monkeypatch):
    """A stand-in for mamba-ssm 2.3.2, which needs a GPU to be imported; afterwards nothing remembers it."""
    stand_in = ModuleType("mamba_ssm.ops.selective_scan_interface")
    stand_in.selective_scan_fn = lambda *_: "kernels"
    for name in ("mamba_ssm", "mamba_ssm.ops"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, stand_in.__name__, stand_in)
    monkeypatch.setattr(selective_scan, "version", lambda _: "2.3.2")
    selective_scan._library.cache_clear()
    yield stand_in
    selective_scan._library.cache_clear()


def test_the_path_of_each_device_is_told(library: ModuleType) -> None:
    assert scan_path("cuda:0") == "mamba-ssm 2.3.2 kernels"
    assert scan_path("cpu") == "Concilium's blocked scan (mamba-ssm has no kernels for cpu)"


def test_cuda_tensors_go_to_the_library_where_it_is_installed(library: ModuleType) -> None:
    shapes = ((1, 2, 3), (1, 2, 3), (2, 1), (1, 1, 3), (1, 1, 3))
    with FakeTensorMode():
        on_the_gpu = [torch.empty(shape, device="cuda") for shape in shapes]
    assert selective_scan_fn(*on_the_gpu) == "kernels"
    assert isinstance(selective_scan_fn(*map(torch.ones, shapes)), Tensor)


def test_a_broken_library_is_told_and_does_without(library: ModuleType, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, library.__name__, None)
    assert scan_path("cuda").startswith(
        "Concilium's blocked scan (mamba-ssm 2.3.2 is installed but cannot be imported: "
    )


def test_a_missing_library_is_told(monkeypatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(selective_scan, "version", missing)
    selective_scan._library.cache_clear()
    assert scan_path("cuda") == "Concilium's blocked scan (mamba-ssm is not installed)"
    selective_scan._library.cache_clear()
