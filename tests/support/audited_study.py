"""A finished light study with its audit log, and one under an authority."""

import json
from pathlib import Path

from protocol.storage.chain import advance, head_path, lines_in
from server.audit.verification import Verification, verify
from server.study.directory import StudyDirectory
from tests.support.killed_study import TWO_STAGES
from tests.support.light_study import Light, light


def finished_study(folder: Path) -> Light:
    """Two centers, two stages of two rounds, done."""
    found = light(folder, TWO_STAGES)
    found.run()
    return found


def found_in(root: Path) -> list[tuple[str, str]]:
    """Weight and file of each finding, the file below the study's directory."""
    findings = verify(StudyDirectory(root)).findings
    return [(finding.weight, finding.what.removeprefix(f"{root}/")) for finding in findings]


def texts_of(found: Verification) -> str:
    return "\n".join(finding.found for finding in found.findings)


def write_anew(log: Path, lines: list[bytes]) -> None:
    """What somebody does who may write log and head: these lines, chained as if they had always been all."""
    state, made = 64 * "0", []
    for number, line in enumerate(lines, start=1):
        data = json.dumps({**json.loads(line), "number": number, "chain": state}, sort_keys=True).encode()
        state = advance(state, [data])
        made.append(data)
    log.write_bytes(b"".join(line + b"\n" for line in made))
    head = {"bytes": log.stat().st_size, "lines": len(made), "chain": state}
    head_path(log).write_text(json.dumps(head) + "\n")


def log_lines(log: Path) -> list[bytes]:
    return lines_in(log.read_bytes())
