"""Processes side by side: no two of them compile the same kernels."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from robonav_ray.evaluation.entrants import PlannerEntrant
from robonav_ray.runtime.examination.beside import _Turns


def planner(name: str) -> PlannerEntrant:
    facts: Any = SimpleNamespace(name=name)
    return PlannerEntrant(name=name, facts=facts, outfit=None, fingerprint="")


def test_a_kind_begins_when_those_before_it_have_made_a_step() -> None:
    plan: Any = SimpleNamespace(entrants=(object(), planner("dwa"), planner("dwa:default"), planner("orca")))
    cells = [(e, s) for e in range(4) for s in range(2)]
    turns = _Turns(plan, cells)
    assert turns.take() == (0, 0)
    assert turns.take() is None, "before its first step, another one would compile the worlds' kernels too"
    turns.note_step((0, 0))
    assert [turns.take() for _ in range(3)] == [(0, 1), (1, 0), None], "planners share some"
    turns.note_step((1, 0))
    assert [turns.take() for _ in range(5)] == [(1, 1), (2, 0), (2, 1), (3, 0), None], "dwa:default has those of dwa"
    turns.note_step((3, 0))
    assert turns.take() == (3, 1)
    assert turns.left == []
