"""A finished study of three centers as `result.json` holds it, written by hand."""

import re
from copy import deepcopy
from typing import Any

CENTERS = {"center-a": ("ct", "pet"), "center-b": ("ct", "pet"), "center-d": ("ct",)}
STAGES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], int]] = {
    "pretrain": ("pretrain", ("center-a", "center-b"), ("backbone",), 4),
    "adapt": ("adapt", ("center-a", "center-b"), ("pet", "peft"), 5),
    "arrive-d": ("arrive", ("center-d",), ("peft",), 3),
}
DICE: dict[str, list[list[float | None]]] = {
    "ct": [[0.511, 0.472, 0.433], [0.624, 0.595, 0.456], [0.617, 0.588, 0.559]],
    "pet": [[0.021, 0.032, None], [0.543, 0.514, None], [0.535, 0.506, None]],
    "ct+pet": [[0.508, 0.461, None], [0.702, 0.673, None], [0.694, 0.665, None]],
}
HD95: dict[str, list[list[float | None]]] = {
    "ct": [[31.4, 33.5, None], [22.6, 24.7, 29.8], [22.1, 24.2, 26.3]],
    "pet": [[None, None, None], [25.5, 27.6, None], [25.7, 27.8, None]],
    "ct+pet": [[31.9, 34.1, None], [14.2, 16.3, None], [14.4, 16.5, None]],
}


def score_row(dice: float | None) -> dict[str, Any]:
    return {"cases": 2, "values": {"dice": dice, "hd95_mm": 12.5}, "undefined": {"dice": 0, "hd95_mm": 0}}


def rounds() -> list[dict[str, Any]]:
    rows = []
    number = 0
    for stage, (_, members, groups, count) in STAGES.items():
        for position in range(count):
            number += 1
            for offset, center in enumerate(members):
                failed = center == "center-b" and number == 6
                level = min(0.75, 0.25 + 0.05 * number - 0.03 * offset)
                rows.append(
                    {
                        "stage": stage,
                        "server_round": number,
                        "center": center,
                        "error": "memory" if failed else "",
                        "loss": None if failed else 0.9 / number + 0.2,
                        "cases": 0 if failed else 6,
                        "seconds": 12.0,
                        "bytes_down": 3_400_000 if "backbone" in groups or position == 0 else 410_000,
                        "bytes_up": 0 if failed else 3_400_000 if "backbone" in groups else 410_000,
                        "validation": {}
                        if failed
                        else {
                            setting: score_row(None if setting == "pet" and number < 3 else level * share)
                            for setting, share in {"ct": 0.9, "pet": 0.75, "ct+pet": 1.0}.items()
                            if setting == "ct" or "pet" in CENTERS[center]
                        },
                    }
                )
    return rows


def matrix(setting: str) -> dict[str, Any]:
    dice = deepcopy(DICE[setting])
    return {
        "stages": list(STAGES),
        "centers": list(CENTERS),
        "dice": dice,
        "hd95_mm": deepcopy(HD95[setting]),
        "cases": [[3 if value is not None else 0 for value in row] for row in dice],
        "undefined": {
            "dice": [[0] * 3 for _ in dice],
            "hd95_mm": [[int(value is None and setting == "ct") for value in row] for row in HD95[setting]],
        },
        "over_centers": {"dice": [None] * 3, "hd95_mm": [None] * 3},
    }


def transfer(average: float, forgetting: float | None, worst: tuple[str, float] | None) -> dict[str, Any]:
    return {
        "metric": "dice",
        "average": average,
        "backward_transfer": -0.008,
        "forward_transfer": None,
        "forgetting": forgetting,
        "worst_center": worst and {"center": worst[0], "value": worst[1]},
        "learning_accuracy": 0.687,
        "forgetting_after": {"adapt": None, "arrive-d": forgetting},
    }


def trainable(groups: tuple[str, ...]) -> dict[str, float]:
    counts = {"backbone": 801_232, "pet": 24_816, "peft": 36_864}
    found = sum(counts[group] for group in groups)
    return {"parameters": found, "percent": 100 * found / sum(counts.values())}


def bank_row(name: str, center: str, stage: str, number: int, digest: str) -> dict[str, Any]:
    row = {"name": name, "version": 1, "center": center, "stage": stage, "server_round": number, "sha256": digest}
    return {**row, "backbone": "b4" * 32}


def example_result() -> dict[str, Any]:
    """A finished study of three centers, written by hand; center-d has CT only and never a PET score."""
    records = rounds()
    by_center = {
        center: {
            "up": sum(row["bytes_up"] for row in records if row["center"] == center),
            "down": sum(row["bytes_down"] for row in records if row["center"] == center),
        }
        for center in CENTERS
    }
    return {
        "schema": 5,
        "status": "complete",
        "study": "demo",
        "title": "Continual PET/CT adaptation",
        "synthetic": True,
        "formed_by": "Phantoms of three simulated scanners; one center without PET.",
        "seed": 7,
        "tasks": ["segmentation"],
        "model": {"name": "pemma-unetr", "options": {"width": 48, "depth": 4}},
        "adapter": {"method": "lora", "rank": 8, "alpha": 16.0, "targets": ["attn.qkv"]},
        "preprocessing": {"spacing_zyx_mm": [4.0, 4.0, 4.0], "ct_window_hu": [-200.0, 250.0]},
        "centers": {
            name: {"modalities": list(found), "evaluated": True, "cases": {"train": 7, "validation": 2, "test": 3}}
            for name, found in CENTERS.items()
        },
        "stages": [
            {
                "name": name,
                "kind": kind,
                "task": "segmentation",
                "centers": list(members),
                "rounds": count,
                "local_steps": 40,
                "learning_rate": 0.0004,
                "aggregation": "fedit",
                "trained_groups": list(groups),
                "trainable": trainable(groups),
            }
            for name, (kind, members, groups, count) in STAGES.items()
        ],
        "parameters": {
            "total": 863_912,
            "backbone": 801_232,
            "pet": 24_816,
            "fusion": 1_000,
            "peft": 36_864,
            "center": 0,
            "norm": 0,
            "definition": "Trainable: tensors that receive a gradient. Percent: of all three groups together.",
        },
        "matrices": {setting: matrix(setting) for setting in ("ct", "pet", "ct+pet")},
        "transfer": {
            "ct": transfer(0.588, 0.007, ("center-d", 0.559)),
            "pet": transfer(0.5205, None, None),
            "ct+pet": transfer(0.6795, 0.008, ("center-b", 0.665)),
        },
        "transfer_of_other_tasks": {},
        "rounds": records,
        "aggregations": [
            {"stage": "adapt", "server_round": 9, "scheme": "fedit", "figures": {"tail_dropped": 0.0125}},
        ],
        "gates": [gate("arrive-c", promoted=True), gate("arrive-d", promoted=False)],
        "bytes": {
            "up": sum(total["up"] for total in by_center.values()),
            "down": sum(total["down"] for total in by_center.values()),
            "by_center": by_center,
        },
        "seconds": {"total": 402.4, "by_center": dict.fromkeys(CENTERS, 130.0)},
        "backbone": "b4" * 32,
        "bank": [
            bank_row("shared", "", "arrive-d", 12, "c5" * 32),
            bank_row("center-a", "center-a", "adapt", 9, "d6" * 32),
        ],
        "versions": {"concilium": "0.1.0", "flwr": "1.41.0"},
        "undefined": {
            "ct": {"dice": 0, "hd95_mm": 1, "cells": 0},
            "pet": {"dice": 0, "hd95_mm": 0, "cells": 3},
            "ct+pet": {"dice": 0, "hd95_mm": 0, "cells": 3},
        },
    }


def gate(stage: str, *, promoted: bool) -> dict[str, Any]:
    return {
        "stage": stage,
        "promoted": promoted,
        "provisional": promoted,
        "differences": {"center-a": -0.031, "center-b": 0.004},
        "mean": -0.0135,
        "lower_bound": None if promoted else -0.04,
        "unheard": ["center-c"] if promoted else [],
        "branches": [] if promoted else ["center-d"],
        "kept": ["center-a"] if promoted else [],
    }


def visible_text(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<style>.*?</style>", " ", page)))
