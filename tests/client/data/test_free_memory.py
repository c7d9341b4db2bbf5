"""Memory that can be had, and images too large for it."""

from pathlib import Path

import pytest

from client.data.free_memory import LARGEST_VOXELS, LowMemoryError, free_bytes, raise_if_too_large
from protocol.errors import CaseError


def test_a_container_has_what_its_limit_leaves_and_the_pages_of_files(tmp_path: Path):
    """100 of 300 MiB are used, 40 of them pages of files: 240 are left, though the machine has 1,000."""
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable: 1024000 kB\n")
    assert free_bytes(tmp_path / "meminfo", tmp_path) == 1000 << 20
    for name, mib in (("memory.max", 300), ("memory.current", 100)):
        (tmp_path / name).write_text(f"{mib << 20}\n")
    (tmp_path / "memory.stat").write_text(f"anon 5\nfile {40 << 20}\n")
    assert free_bytes(tmp_path / "meminfo", tmp_path) == 240 << 20
    (tmp_path / "memory.max").write_text("max\n")
    assert free_bytes(tmp_path / "meminfo", tmp_path) == 1000 << 20


def test_where_nobody_says_how_much_there_is_nothing_is_refused_for_it(tmp_path: Path):
    assert free_bytes(tmp_path / "absent", tmp_path) is None


def test_no_scanner_takes_more_voxels_than_a_large_whole_body_four_times():
    with pytest.raises(CaseError, match=f"expected at most {LARGEST_VOXELS}"):
        raise_if_too_large(Path("ct.nii"), LARGEST_VOXELS + 1, 1)


def test_an_image_must_fit(monkeypatch: pytest.MonkeyPatch):
    """100 million voxels of 2 bytes take 9 bytes each while they are checked: 859 MiB."""
    monkeypatch.setattr("client.data.free_memory.free_bytes", lambda: 859 << 20)
    raise_if_too_large(Path("ct.nii"), 100_000_000, 2)
    monkeypatch.setattr("client.data.free_memory.free_bytes", lambda: 858 << 20)
    with pytest.raises(LowMemoryError, match="858 MiB are free"):
        raise_if_too_large(Path("ct.nii"), 100_000_000, 2)
