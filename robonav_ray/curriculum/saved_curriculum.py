"""What a saved curriculum may hold: stages are indices, clocks and counts go on being counted, totals are shown."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from robonav_ray.curriculum.partner_gate import read_figures
from robonav_ray.ranges import MAX_COUNT, MAX_FLOAT64, RangeError, check_numbers, count, real, require
from robonav_ray.runs.progress import StageTransition

_TOTALS = {
    **{name: count() for name in ("num_episodes", "num_env_steps", "num_successes", "num_collisions")},
    "return_sum": real(),
}
_WINDOW = {
    "num_episodes": count(),
    "success_frac": real(low=0.0, high=1.0),
    "collision_frac": real(low=0.0, high=1.0),
    "mean_return": real(),
}
_TEXTS = ("from_name", "to_name", "reason")


def check_state(state: Mapping[str, Any], num_stages: int) -> None:
    """ValueError, which names the entry, unless what a curriculum of ``num_stages`` stages has saved can be gone on
    from.

    Window and order are held against their own declarations.
    """
    last = num_stages - 1
    declared = {
        "stage": count(high=last),
        "serial": count(),
        "elapsed_s": real(low=0.0, high=float(MAX_COUNT)),
        "num_gate_episodes": count(),
        "level_clock": count(num_stages),
        "joined_at": count(None, 2),
    }
    for name, numbers in declared.items():
        numbers.check(name, state[name])
    totals = state["totals"]
    require(isinstance(totals, list) and len(totals) == num_stages, f"totals: are not of {num_stages} stages")
    for i, stage in enumerate(totals):
        check_numbers(f"totals[{i}]", stage, _TOTALS, f"totals[{i}].")
        ended = stage["num_successes"] + stage["num_collisions"]
        require(ended <= stage["num_episodes"], f"totals[{i}]: more successes and collisions than episodes")
    require(isinstance(state["history"], list), "history: is no list")
    for i, transition in enumerate(state["history"]):
        _check_transition(f"history[{i}]", transition, last)


def _check_transition(name: str, transition: Any, last: int) -> None:
    known = {field.name for field in dataclasses.fields(StageTransition)}
    if not isinstance(transition, Mapping) or set(transition) | {"partners"} != known:  # earlier ones have no partners
        raise ValueError(f"{name}: is no transition of this program")
    read_figures(f"{name}.partners", transition.get("partners"))
    check_numbers(f"{name}.window", transition["window"], _WINDOW, f"{name}.window.")
    stages = {
        "from_stage": count(high=last),
        "to_stage": count(high=last),
        "world": count(low=-1),
        "started_at": count(low=-1),
    }
    for field in known - {*_TEXTS, "window", "partners"}:
        kind = real(low=0.0, high=MAX_FLOAT64) if field == "elapsed_s" else count()
        stages.get(field, kind).check(f"{name}.{field}", transition[field])
    if transition["reason"] not in ("gate", "forced", "passed") or not all(
        isinstance(transition[text], str) for text in _TEXTS
    ):
        raise RangeError(f"{name}: is no transition between stages")
