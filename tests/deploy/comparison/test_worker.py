"""One run in a process of its own: what it leaves, whether it ends well or not."""

import json
import subprocess
import sys
from pathlib import Path

from deploy.comparison.worker import ERROR, LOG, RECORD

# Standard output and error of the process go to the log and then nowhere: this must not be pytest's own process.
PROGRAM = """
import sys
from pathlib import Path
from deploy.comparison import worker

def fail(job):
    print("about to fail")
    raise ValueError("no room")

folder = Path(sys.argv[1])
job = worker.RunJob("a/b/1", folder / "s.toml", folder, folder / "run", "cpu", folder / "cache", threads=1)
worker.simulate_run = fail
found = worker.carry_out(job)
(folder / "found").write_text(found)
(folder / "kept").write_text((folder / "run" / worker.ERROR).read_text())
worker.simulate_run = lambda job: print("well done")
(folder / "again").write_text(worker.carry_out(job))
"""


def test_a_failed_run_leaves_its_error_and_a_later_one_takes_it_away(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, tmp_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (tmp_path / "found").read_text() == "ValueError: no room"
    assert "Traceback" in (tmp_path / "kept").read_text()
    assert (tmp_path / "again").read_text() == ""
    assert not (tmp_path / "run" / ERROR).exists()
    assert (tmp_path / "run" / LOG).read_text() == "about to fail\nwell done\n"
    record = json.loads((tmp_path / "run" / RECORD).read_text())
    assert (record["run"], record["device"]) == ("a/b/1", "cpu")
    assert record["threads"] >= 1
