"""The checks on this machine but for its data: kit, home, versions, GPU, disk, local sockets and ports."""

import os
import socket
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from client.home.center_home import DEFAULT_PORT
from client.join.findings import Finding, failure, ok, skip, warning
from client.join.isolation import data_of, hides_too_much, without_data, without_network
from client.join.situation import Situation
from protocol.enrolment.kit import StudyAgreement
from protocol.storage.atomic_files import free_bytes

GIB = 1024**3
SENSIBLE_MEMORY = 4 * GIB
MAXIMUM_SOCKET_PATH_BYTES = 100
OLDEST_PYTHON, FIRST_UNKNOWN_PYTHON = (3, 11), (3, 13)
NO_AGREEMENT = "no kit, so the study's agreement is not known"


def check_kit(situation: Situation) -> Finding:
    """The kit is whole and has not expired."""
    return situation.kit_finding


def check_home(situation: Situation) -> Finding:
    """The home is this center's, and nobody else runs on it."""
    if situation.home_error:
        return failure(situation.home_error, "give --home another folder, or stop what runs on this one")
    return ok(f"{situation.home.root}")


def check_versions(situation: Situation) -> Finding:
    """Flower, Python and concilium are those the study was made with."""
    if situation.membership is None:
        return skip(NO_AGREEMENT)
    agreement = situation.membership.agreement
    flower, ours, python = version("flwr"), version("concilium"), sys.version_info[:2]
    text = f"Flower {flower}, concilium {ours}, Python {python[0]}.{python[1]}"
    if not OLDEST_PYTHON <= python < FIRST_UNKNOWN_PYTHON:
        return failure(
            f"{text}; expected Python 3.11 or 3.12", "install concilium under one of these, or use the image"
        )
    if _series(flower) != _series(agreement.flower):
        return failure(f"{text}; the study runs Flower {agreement.flower}", f"install `flwr=={agreement.flower}.*`")
    if situation.key_standing is not None and situation.key_standing.version_warning:
        return failure(
            f"{text}; the coordinator's Flower is of another version", "ask the coordinator which version is right"
        )
    return _same_series(text, ours, agreement)


def _same_series(text: str, ours: str, agreement: StudyAgreement) -> Finding:
    if _series(ours) != _series(agreement.concilium):
        remedy = f"install concilium {agreement.concilium}, or the image {agreement.image}"
        return failure(f"{text}; the study runs concilium {agreement.concilium}", remedy)
    if ours != agreement.concilium:
        text = f"{text}; the study was made with {agreement.concilium}"
        return warning(text, f"update to {agreement.concilium} when you can")
    return ok(text)


def check_gpu(situation: Situation) -> Finding:
    """The device has the memory that the study's training is estimated to take, and the machine some for the cases."""
    free = _available_memory()
    memory = f"{free / GIB:.0f} GiB of main memory free"
    found = _device_finding(situation, memory)
    if found.status == "ok" and free < SENSIBLE_MEMORY:
        return warning(
            f"{found.text}; {SENSIBLE_MEMORY / GIB:.0f} are sensible", "end what else uses it, or take a larger machine"
        )
    return found


def _device_finding(situation: Situation, memory: str) -> Finding:
    needed = situation.membership.agreement.gpu_memory_bytes if situation.membership else 0
    gpu = {"cuda": False} if situation.device == "cpu" else situation.gpu
    if gpu["cuda"]:
        text = f"{gpu['name']} with {gpu['total'] / GIB:.0f} GiB, {gpu['free'] / GIB:.0f} free; {memory}"
        if gpu["total"] < needed:
            return failure(
                f"{text}; the study needs about {needed / GIB:.1f}", "use a larger GPU, or give --device cpu"
            )
        if gpu["free"] < needed:
            return warning(f"{text}; the study needs about {needed / GIB:.1f}", "end what else uses the GPU")
        return ok(text)
    return _without_gpu(situation.device, needed, memory)


def _without_gpu(device: str, needed: int, memory: str) -> Finding:
    if device == "cuda":
        return failure(f"no GPU that torch can use; {memory}", "install the driver, or give --device cpu")
    if not needed:
        return ok(f"a CPU suffices; {memory}")
    if device == "cpu":
        return warning(f"no GPU is used, the study is made for one; {memory}", "expect rounds to take far longer")
    return failure(
        f"no GPU, the study needs one with about {needed / GIB:.1f} GiB; {memory}",
        "install a GPU and its driver, or give --device cpu to train slowly",
    )


def check_disk(situation: Situation) -> Finding:
    """The home's disk has room for what the study keeps there."""
    if situation.membership is None:
        return skip(NO_AGREEMENT)
    root, needed = situation.home.root, situation.membership.agreement.disk_bytes
    free, used = free_bytes(root), _size_of(situation.home.trainer)
    text = f"{free / GIB:.1f} GiB free, {used / GIB:.1f} used already, the study needs about {needed / GIB:.1f}"
    if free + used < needed:
        return failure(f"{text} at {root}", "free some space there, or give --home a folder on a larger disk")
    return ok(text)


def check_socket(situation: Situation) -> Finding:
    """The sockets of trainer and SuperNode can be made, and the port of the SuperNode's health probes is free."""
    path = os.fsencode(situation.home.socket.absolute())
    if len(path) > MAXIMUM_SOCKET_PATH_BYTES:
        return failure(
            f"the socket's path would have {len(path)} bytes, at most {MAXIMUM_SOCKET_PATH_BYTES} work",
            "give --home a shorter path",
        )
    port = situation.settings.port if situation.settings else DEFAULT_PORT
    if not is_free(port + 1) and not situation.home_error:
        return failure(
            f"port {port + 1} on 127.0.0.1 is in use", "give --port another number; the port after it is used"
        )
    return ok(f"sockets {situation.home.socket} and {situation.home.api}, port {port + 1} on 127.0.0.1")


def check_isolation(situation: Situation) -> Finding:
    """The trainer has no network, and the network side none of the data."""
    folders = data_of(situation.home, situation.settings)
    reachable = hides_too_much(situation.home, folders)
    if reachable is not None:
        return warning(
            f"the network side can read the data: {reachable} also holds the center's home or this program",
            "give --home a folder outside of the data folders",
        )
    lacking = [
        text
        for text, words in (
            ("the trainer has no network namespace of its own", without_network()),
            ("the network side can read the data, it has no mount namespace of its own", without_data(folders)),
        )
        if not words
    ]
    if lacking:
        return warning(
            "; ".join(lacking),
            "use the two containers or the systemd units; or install util-linux (unshare, setpriv) and allow user "
            "namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)",
        )
    return ok("the trainer has no network, the network side sees neither the data nor the trainer's folder")


def _series(text: str) -> list[str]:
    return text.split(".")[:2]


def is_free(port: int) -> bool:
    """Whether nobody on this machine listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _size_of(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.lstat().st_blocks * 512
    return total


def _available_memory() -> int:
    """Bytes of main memory that can be had without swapping."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) * 1024
    return 0
