"""What this machine brings to a study: versions, cores, devices, and which selective scan each device uses.

No GPU is needed, and nothing that is missing or broken stops the answer: it becomes part of it.
"""

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from reporting.formats import size
from server.results.result import PACKAGES, read_versions

NOT_INSTALLED = "not installed"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Device:
    """One device that torch can compute on.

    memory_bytes: of the whole device; None where the system does not say. scan: the selective scan used there.
    """

    device: str
    name: str
    memory_bytes: int | None
    scan: str


@dataclass(frozen=True)
class Environment:
    """One machine.

    cores: those this process may use. threads: what torch would use; None where torch cannot be imported.
    trouble: what could not be found out, in words; "" where all went well.
    """

    versions: Mapping[str, str]
    cores: int
    threads: int | None
    devices: tuple[Device, ...]
    trouble: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)


def environment() -> Environment:
    """What this machine brings."""
    versions = dict.fromkeys(("python", *PACKAGES), NOT_INSTALLED) | read_versions()
    try:
        import torch
    except (ImportError, OSError) as error:
        return Environment(versions, usable_cores(), None, (), f"torch cannot be imported: {_one_line(error)}")
    return Environment(versions, usable_cores(), torch.get_num_threads(), (_cpu(), *_cuda_devices()))


def usable_cores() -> int:
    """Cores this process may use; a container or scheduler may allow fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_each(workers: int) -> int:
    """Threads of each of some processes side by side: what `OMP_NUM_THREADS` says, else an even share of the cores."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else max(1, usable_cores() // workers)


def scan_on(device: str) -> str:
    """Which selective scan a device uses, or why that cannot be said."""
    try:
        from fusion_models.ssm.selective_scan import scan_path

        return scan_path(device)
    except Exception as error:  # noqa: BLE001 a compiled extension that does not fit may raise anything when imported
        return f"unknown: {_one_line(error)}"


def tables(found: Environment) -> list[Table]:
    """The environment for people: versions, then devices."""
    versions = Table("package", "version", title="environment")
    for name, version in found.versions.items():
        versions.add_row(name, version)
    threads = UNKNOWN if found.threads is None else str(found.threads)
    devices = Table(
        "device", "name", "memory", "selective scan", title=f"{found.cores} usable core(s), torch threads: {threads}"
    )
    for row in found.devices:
        devices.add_row(row.device, row.name, UNKNOWN if row.memory_bytes is None else size(row.memory_bytes), row.scan)
    if found.trouble:
        devices.caption = found.trouble
    return [versions, devices]


def _cpu() -> Device:
    memory = None
    with suppress(AttributeError, ValueError, OSError):
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Device("cpu", platform.processor() or platform.machine(), memory, scan_on("cpu"))


def _cuda_devices() -> list[Device]:
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    facts = [torch.cuda.get_device_properties(index) for index in range(count)]
    return [
        Device(f"cuda:{index}", fact.name, fact.total_memory, scan_on(f"cuda:{index}"))
        for index, fact in enumerate(facts)
    ]


def _one_line(error: Exception) -> str:
    """An error in one line."""
    first = str(error).splitlines()[:1]
    return ": ".join([type(error).__name__, *first])
