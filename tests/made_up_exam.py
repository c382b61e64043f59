"""An exam that was never played: five entrants, one of them with three seeds, 40 scenarios, of figures that could be
real.

``python -m tests.made_up_exam FOLDER [NUM_WORLDS]`` writes it where ``robonav report`` reads it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from robonav_ray.evaluation.episodes import EpisodeTable
from robonav_ray.evaluation.exam_table import Decisions, EntrantFacts, ExamTable, ScenarioFacts
from robonav_ray.records import Outcome

SKILL = {"navigation": 2.3, "ten_minutes": 1.3, "dwa": 1.7, "orca": 2.0, "random": -3.0}
KNOWS = {"orca": "true state"}
STAGES = ("basic_navigation", "obstacle_avoidance", "multi_goal_planning", "full_challenge")
ROBUSTNESS = {
    "range_noise": 0.25,
    "beam_dropout": 0.15,
    "blackout": 0.9,
    "odometry_drift": 0.45,
    "action_delay": 0.6,
    "slip": 0.1,
}
GENERALISATION = {"obstacles": 0.5, "speed": 0.6, "radius": 0.2}
STRESS = ("fifty_obstacles", "intercepting", "narrow_gaps")
STEP_S, MAX_STEPS = 0.2, 300


def made_up_entrants(names: tuple[str, ...] = tuple(SKILL), num_seeds: int = 3) -> tuple[EntrantFacts, ...]:
    """Return the entrants, ``navigation`` with ``num_seeds`` seeds."""
    entrants = []
    for name in names:
        trained = name in ("navigation", "ten_minutes")
        for seed in range(num_seeds if name == "navigation" else 1):
            shown = f"{name}-s{seed}" if name == "navigation" and num_seeds > 1 else name
            where = f"runs/{shown}" if trained else name
            facts = (
                {"checkpoint": "checkpoint-000412", "env_steps": "1,204,224", "config sha256": "9f2c" * 16}
                if trained
                else {}
            )
            entrants.append(
                EntrantFacts(
                    name=shown,
                    kind="run" if trained else "planner",
                    knows=KNOWS.get(name, "lidar only"),
                    method=f"preset={name}" if trained else name,
                    train_seed=seed if trained else None,
                    source=where,
                    provenance=facts,
                )
            )
    return tuple(entrants)


def made_up_scenarios(num_worlds: int) -> list[tuple[ScenarioFacts, float]]:
    """Return the scenarios, each with how much it takes from every entrant's skill."""
    rows: list[tuple[str, str, str, float | None, str, float]] = []
    for hard, stage in enumerate(STAGES):
        rows.append((stage, "standard", "", None, stage, 0.45 * hard))
    for factor, harm in ROBUSTNESS.items():
        rows += [(f"{factor}_{n}", "robustness", factor, float(n), "full_challenge", 1.35 + harm * n) for n in range(4)]
    for factor, harm in GENERALISATION.items():
        rows += [
            (f"{factor}_{n}", "generalisation", factor, float(n), "full_challenge", 1.35 + harm * n) for n in (1, 2, 3)
        ]
    rows += [(name, "stress", "", None, "full_challenge", 2.4 + 0.3 * i) for i, name in enumerate(STRESS)]
    return [
        (
            ScenarioFacts(
                name=name,
                question=f"Does it still arrive with {name.replace('_', ' ')}?",
                suite=family,
                family=family,
                factor=factor,
                level=level,
                stage=stage,
                changes={f"level.{family}.{factor or name}": 1.0 if level is None else level}
                if family != "standard"
                else {},
                num_episodes=num_worlds,
                seed=1_000_003,
                step_s=STEP_S,
                max_steps=MAX_STEPS,
            ),
            harm,
        )
        for name, family, factor, level, stage, harm in rows
    ]


def made_up_cell(
    rng: np.random.Generator, hardness: np.ndarray, skill: float, harm: float, sensor_harm: float
) -> EpisodeTable:
    """Return the episodes of one entrant in one scenario; ``hardness`` (W,) of the worlds is the same for all."""
    n = len(hardness)
    score = skill - harm - sensor_harm - hardness + rng.logistic(0.0, 0.7, n)
    success = score > -1.3
    kind = rng.choice(
        [Outcome.COLLISION_STATIC, Outcome.COLLISION_DYNAMIC, Outcome.COLLISION_WALL, Outcome.TIMEOUT],
        n,
        p=[0.22, 0.5, 0.1, 0.18],
    )
    shortest = rng.uniform(6.0, 24.0, n)
    path = shortest * (1.0 + rng.gamma(2.0, 0.05, n) + 0.05 * max(harm, 0.0))
    length = np.clip(path / 0.9 / STEP_S, 5, MAX_STEPS).astype(np.int32)
    outcome = np.where(success, Outcome.SUCCESS, kind).astype(np.int8)
    length = np.where(outcome == Outcome.TIMEOUT, MAX_STEPS, np.where(success, length, length // 2)).astype(np.int32)
    clearance = np.where(success, rng.gamma(4.0, 0.06, n), 0.0)
    return EpisodeTable(
        world=np.arange(n),
        outcome=outcome,
        length=length,
        task_return=(success * 10.0 - (outcome < Outcome.TIMEOUT) * ~success * 5.0).astype(np.float32),
        total_return=(success * 10.0 - length * 0.01).astype(np.float32),
        goals_reached=success.astype(np.float32),
        path_length_m=np.where(success, path, path * 0.5).astype(np.float32),
        shortest_path_length_m=shortest.astype(np.float32),
        min_clearance_m=clearance.astype(np.float32),
        step_s=STEP_S,
        max_steps=MAX_STEPS,
    )


def made_up_exam(
    num_worlds: int = 200, names: tuple[str, ...] = tuple(SKILL), num_seeds: int = 3, families: tuple[str, ...] = ()
) -> ExamTable:
    """Return the exam; ``families`` keeps those scenarios only (empty: all)."""
    entrants = made_up_entrants(names, num_seeds)
    scenarios = [
        (facts, harm) for facts, harm in made_up_scenarios(num_worlds) if not families or facts.family in families
    ]
    cells, decisions = {}, {}
    for s, (facts, harm) in enumerate(scenarios):
        hardness = np.random.default_rng([7, s]).normal(0.0, 1.2, num_worlds)
        for e, entrant in enumerate(entrants):
            rng = np.random.default_rng([11, s, e])
            name = entrant.name.partition("-")[0]
            luck = 0.08 * np.random.default_rng([3, e]).normal() if entrant.train_seed is not None else 0.0
            blind = -0.7 * (harm - 1.35) if facts.family == "robustness" and KNOWS.get(name) else 0.0
            cells[e, s] = made_up_cell(rng, hardness, SKILL[name] + luck, harm, blind)
            decisions[e, s] = Decisions(
                2.1e-5 * (1 + e), 6.3e-5 * (1 + e), 900, num_worlds, 1.1e-4 * (1 + e), 3.2e-4 * (1 + e)
            )
    missing = {}
    if "random" in names and not families:
        e, s = len(entrants) - 1, len(scenarios) - 1
        del cells[e, s], decisions[e, s]
        missing[e, s] = "narrow_gaps has 4 robots to a world, and random drives one"
    provenance = {
        "command": f"robonav compare {' '.join(names)} --suite standard --out out",
        "versions": {"robonav_ray": "0.1.0", "numpy": "2.4.6", "python": "3.11.7"},
        "revision": "9567870c0ffee",
        "started": "2026-11-30T03:14:15Z",
    }
    return ExamTable.of_cells(
        entrants, [facts for facts, _ in scenarios], cells, missing=missing, decisions=decisions, provenance=provenance
    )


if __name__ == "__main__":
    made_up_exam(int(sys.argv[2]) if len(sys.argv) > 2 else 200).save(Path(sys.argv[1]))
