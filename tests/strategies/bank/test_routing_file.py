"""The bank's routers on disk."""

import json
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import BankError
from protocol.storage.sealed_json import read_sealed, seal
from strategies.bank.routing_file import ROUTER_FILE, from_json, read_routers, to_json, write_routers
from strategies.continual.router import fit
from tests.support.drawn_centers import gaussian_centers, line, prototype


def test_a_router_survives_its_file(tmp_path: Path) -> None:
    _, observed = gaussian_centers(5, 12)
    router = fit([prototype(name, rows) for name, rows in zip("abc", observed, strict=True)], shrinkage=0.2)
    path = tmp_path / "router.json"
    path.write_bytes(seal(to_json(router)))
    again = from_json(read_sealed(path))
    assert json.dumps(to_json(again)) == json.dumps(to_json(router))
    assert again.route(observed[0][0]) == router.route(observed[0][0])


@pytest.mark.parametrize("damage", [{"centers": ["a", "b"]}, {"offset": [0.0, 1.0]}, {"counts": None}, {"counts": []}])
def test_a_file_that_contradicts_itself_is_refused(damage: "dict[str, object]") -> None:
    with pytest.raises(BankError, match="fit it again"):
        from_json({**to_json(line(a=(4, 0.0))), **damage})


def test_a_file_without_a_field_is_refused() -> None:
    with pytest.raises(BankError, match="router cannot be read"):
        from_json({"centers": ["a"]})


def features(mean: float, cases: int) -> "dict[str, np.ndarray]":
    parts = {"mean": np.array([mean]), "scatter": np.array([[float(cases)]]), "count": np.array([float(cases)])}
    return {f"features.ct@{part}": array.astype(np.float32) for part, array in parts.items()}


def test_a_bank_gets_a_router_for_every_set_of_blocks_that_a_center_has(tmp_path: Path) -> None:
    write_routers(tmp_path, {"mda": features(0, 5), "hgj": features(9, 4), "chuv": {}})
    routers = read_routers(tmp_path)
    assert {blocks: router.centers for blocks, router in routers.items()} == {"features.ct": ("hgj", "mda")}
    assert next(iter(routers["features.ct"].route(np.array([9.0])).weights)) == "hgj"


def test_without_scatter_no_router_is_written_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_routers(tmp_path, {"mda": features(0, 1) | {"features.ct@scatter": np.zeros((1, 1), np.float32)}})
    assert not (tmp_path / ROUTER_FILE).exists()
    assert "no router for scans with features.ct" in caplog.text
    with pytest.raises(BankError, match="run the study with router = true"):
        read_routers(tmp_path)
