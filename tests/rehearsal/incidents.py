"""Faults that are more than a kill: each waits for its moment, does it, and says what was expected and not seen.

Every cell leaves the federation as it was, but for its study, which goes on to its end.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from protocol.storage.torn_line import torn_path
from tests.rehearsal.consortium import BIN, COORDINATOR, Command, Consortium
from tests.rehearsal.disturbances import AT_COORDINATOR, find_trainer
from tests.rehearsal.findings import Cells, Findings
from tests.rehearsal.pulled_message import freeze_at_message
from tests.rehearsal.short_study import DISK_CENTER, bring_in
from tests.rehearsal.small_disk import fill, make_room

MOMENT_S, SOON_S = 1500.0, 900.0
TRIES, LEFT_S = 6, 45.0
AWAY_S, SLOW_S, RESTARTED_S, FULL_S = 15.0, 150.0, 420.0, 40.0
TORN = b'{"chain": "cut off'
SUPEREXEC = AT_COORDINATOR["kill-coordinator-superexec"]


def wait_for_round(consortium: Consortium, number: int) -> None:
    """Wait until a round of the study is under way, counted over all stages."""

    def begun() -> bool:
        progress = consortium.progress()
        return progress.get("state") == "running" and int(progress.get("server_round", 0)) >= number

    consortium.wait_until(begun, f"round {number}", within_s=MOMENT_S)


def said_by(consortium: Consortium, center: str) -> str:
    """What a center's `join` has printed."""
    return consortium.log(f"join-{center}").read_text(errors="replace")


def run_log(consortium: Consortium) -> str:
    """What the ServerApp has printed so far."""
    command: Command = ["timeout", "20", BIN / "concilium", "log", consortium.directory.root]
    return consortium.run(COORDINATOR, command).stdout


def stop_while_pulling(consortium: Consortium, center: str, _kits: dict[str, Path], found: Findings) -> None:
    """`stop`, while a node has a message and has not confirmed it: again and again, until one is left behind.

    A run's first message is let pass: before it is kept, the node asks about the run, and is told there that it ended.
    """
    root, left = consortium.directory.root, "supernode ended with 71"
    before = said_by(consortium, center).count(left)
    for attempt in range(1, TRIES + 1):
        with freeze_at_message(consortium, center, within_s=MOMENT_S, passing=1):
            consortium.coordinate("stop", root)
        hit = wait_quietly(lambda: said_by(consortium, center).count(left) > before, LEFT_S)
        consortium.coordinate("resume", root)
        if hit:
            found.note(f"stopped {attempt} time(s) while {center} took a message; its SuperNode left with 71, empty")
            return
    found.unseen.append(f"a message left behind at {center} in {TRIES} stops")


def revoke(consortium: Consortium, center: str, kits: dict[str, Path], found: Findings) -> None:
    """A center is revoked while `join` runs; then it is invited anew."""
    wait_for_round(consortium, 1)
    consortium.coordinate("revoke", center, "--study", consortium.directory.root)
    found.note(f"{center} revoked in round 1")
    joined = consortium.running[f"join-{center}"]
    found.expect("`join` ended by itself", lambda: joined.poll() is not None, SOON_S)
    if joined.poll() != 16 or "revoked" not in said_by(consortium, center):
        found.unseen.append(f"code 16 and why (it was {joined.poll()})")
    consortium.end(f"join-{center}")
    kits[center] = consortium.invite(center)
    bring_in(consortium, center, kits[center])
    found.note("code 16 and why; invited anew")


def link_away(consortium: Consortium, center: str, kits: dict[str, Path], found: Findings) -> None:
    """The coordinator's programs are away while `join` starts."""
    wait_for_round(consortium, 1)
    consortium.end(f"join-{center}")
    consortium.end("serve")
    consortium.join(center, kits[center])
    time.sleep(AWAY_S)
    consortium.serve()
    consortium.wait_online([center])
    found.note(f"`serve` ended, `join` of {center} started, `serve` {AWAY_S:.0f} s later")
    if consortium.running[f"join-{center}"].poll() is not None:
        found.unseen.append("a `join` that waits")


def superexec_slow(consortium: Consortium, _center: str, _kits: dict[str, Path], found: Findings) -> None:
    """SuperExec stands still for two and a half minutes while a run is pending: it is left alone."""
    pids = _hold_superexec(consortium, found)
    time.sleep(SLOW_S)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    if consortium.processes(COORDINATOR, *SUPEREXEC) != pids:
        found.unseen.append("the SuperExec left alone")
    found.note(f"SuperExec went on after {SLOW_S:.0f} s, not restarted")


def superexec_hung(consortium: Consortium, _center: str, _kits: dict[str, Path], found: Findings) -> None:
    """SuperExec stands still for good: it is restarted after four minutes."""
    begun, pids = time.monotonic(), _hold_superexec(consortium, found)
    found.expect(
        "another SuperExec", lambda: not set(pids) & set(consortium.processes(COORDINATOR, *SUPEREXEC)), RESTARTED_S
    )
    found.note(f"after {time.monotonic() - begun:.0f} s")


def fill_center(consortium: Consortium, _center: str, _kits: dict[str, Path], found: Findings) -> None:
    """The disk of a center's home is full while it trains."""
    home = consortium.home(DISK_CENTER)
    wait_for_round(consortium, 2)
    consortium.wait_until(lambda: _works(consortium, DISK_CENTER), f"work at {DISK_CENTER}", within_s=MOMENT_S)
    fill(home)
    try:
        wait_quietly(lambda: not _works(consortium, DISK_CENTER), SOON_S)
        time.sleep(FULL_S)
    finally:
        make_room(home)
    found.note(f"the disk of {DISK_CENTER} was full from its training in round 2 on, until {FULL_S:.0f} s after it")


def fill_coordinator(consortium: Consortium, _center: str, _kits: dict[str, Path], found: Findings) -> None:
    """The coordinator's disk is full; `status` names it, and the study goes on soon after there is room."""
    root, progress = consortium.directory.root, consortium.directory.progress
    wait_for_round(consortium, 1)
    fill(root)
    try:
        found.expect("`status` names the disk", lambda: "takes no file" in consortium.coordinate("status", root), 120)
        time.sleep(FULL_S)
    finally:
        make_room(root)
    freed = time.time()
    found.expect("it goes on", lambda: progress.exists() and progress.stat().st_mtime > freed, 2 * SOON_S)
    found.note(f"{time.time() - freed:.0f} s after there was room")


def tear_line(consortium: Consortium, center: str, _kits: dict[str, Path], found: Findings) -> None:
    """A trainer dies while it writes a line of its log of what leaves."""
    wait_for_round(consortium, 2)
    log = consortium.home(center) / "trainer" / "outgoing.jsonl"
    aside = torn_path(log)
    before = aside.stat().st_size if aside.exists() else 0
    pid = find_trainer(consortium, center)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with log.open("ab") as lines:
        lines.write(TORN)
    found.note(f"trainer of {center} killed, half a line at the end of its log")
    found.expect("the half line aside", lambda: aside.exists() and aside.stat().st_size > before, SOON_S)
    told = consortium.run(center, [BIN / "concilium-center", "ledger", "--home", consortium.home(center)])
    if told.returncode or "cut off" not in " ".join((told.stdout + told.stderr).split()):
        found.unseen.append(f"a ledger that is whole and tells of it (code {told.returncode})")


def add_case(consortium: Consortium, center: str, _kits: dict[str, Path], found: Findings) -> None:
    """A case comes while a stage goes on: it waits for the next."""
    wait_for_round(consortium, 3)
    case = _cases(consortium, center)[0]
    new = case.with_name(f"{case.name[:-2]}99")
    shutil.copytree(case, new)
    found.later.append(lambda: shutil.rmtree(new))
    found.note(f"a case more at {center} in round 3")


def delete_case(consortium: Consortium, center: str, _kits: dict[str, Path], found: Findings) -> None:
    """A case goes while a stage goes on."""
    wait_for_round(consortium, 3)
    case, aside = _cases(consortium, center)[0], consortium.folder / f"held-{time.time_ns()}"
    case.rename(aside)
    found.later.append(lambda: aside.rename(case))
    found.note(f"a case of {center} gone in round 3")
    _expect_told(consortium, center, found)


def spoil_case(consortium: Consortium, center: str, _kits: dict[str, Path], found: Findings) -> None:
    """A case becomes unreadable as an image while a stage goes on: every voxel is NaN."""
    wait_for_round(consortium, 3)
    image = _cases(consortium, center)[0] / "ct.nii.gz"
    scan, kept = sitk.ReadImage(image), image.read_bytes()
    spoilt = sitk.GetImageFromArray(np.full(scan.GetSize()[::-1], np.nan, np.float32))
    spoilt.CopyInformation(scan)
    found.later.append(lambda: image.write_bytes(kept))
    sitk.WriteImage(spoilt, image)
    found.note(f"CT of a case of {center} NaN in round 3")
    _expect_told(consortium, center, found)


def wait_quietly(holds: Callable[[], bool], within_s: float) -> bool:
    """Whether something comes to hold in time."""
    ends_at = time.monotonic() + within_s
    while time.monotonic() < ends_at:
        if holds():
            return True
        time.sleep(0.2)
    return False


def _hold_superexec(consortium: Consortium, found: Findings) -> list[int]:
    """Stop the study, let SuperExec stand still, and resume; gives its processes."""
    root = consortium.directory.root
    wait_for_round(consortium, 1)
    consortium.coordinate("stop", root)
    pids = consortium.processes(COORDINATOR, *SUPEREXEC)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    consortium.run(COORDINATOR, [BIN / "concilium", "resume", root, "--patience-s", "5"])
    watchdog = consortium.directory.root / "watchdog.json"
    found.note("SuperExec stopped before `resume`")
    found.expect("an alarm that the run is pending", lambda: "is pending since" in watchdog.read_text(), 130)
    return pids


def _works(consortium: Consortium, center: str) -> bool:
    return bool(consortium.processes(center, "client.node.clientapp"))


def _cases(consortium: Consortium, center: str) -> list[Path]:
    return sorted(path for path in (consortium.folder / "data" / center).iterdir() if path.is_dir())


def _expect_told(consortium: Consortium, center: str, found: Findings) -> None:
    """The center's log names the case, the coordinator's counts it."""
    log = consortium.home(center) / "trainer" / "trainer.log"
    before = log.read_text(errors="replace").count("takes part in nothing")
    found.expect(
        "the trainer's log names it",
        lambda: log.read_text(errors="replace").count("takes part in nothing") > before,
        SOON_S,
    )
    found.expect(
        "the run's log counts it",
        lambda: "registered with are gone or cannot be read" in " ".join(run_log(consortium).split()),
        SOON_S,
    )
    found.excused = f"trained without that case of {center}"


CELLS: Cells = {
    "stop-while-pulling": stop_while_pulling,
    "revoked": revoke,
    "link-away": link_away,
    "superexec-slow": superexec_slow,
    "superexec-hung": superexec_hung,
    "disk-center": fill_center,
    "disk-coordinator": fill_coordinator,
    "torn-line": tear_line,
    "case-added": add_case,
    "case-deleted": delete_case,
    "case-nan": spoil_case,
}
"""By name; done to the short study."""
