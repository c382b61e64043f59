"""Made-up searches: halving with 16 trials, a population of 4 with exploits, an empty one, one that failed."""

from __future__ import annotations

from typing import Any

import numpy as np

from robonav_ray.config.tuning import TuningConfig
from robonav_ray.tuning.search_records import History

STAGES = ("basic_navigation", "obstacle_avoidance", "multi_goal_planning", "full_challenge")
SPACE: dict[str, Any] = {
    "learner.learning_rate": {"loguniform": [1e-5, 1e-2]},
    "learner.discount": {"uniform": [0.9, 0.999]},
    "learner.batch_size": {"choice": [128, 256, 512]},
    "algo.hidden_sizes": {"choice": [[64, 64], [256, 256]]},
    "curriculum.stages.*.epsilon.decay": {"uniform": [0.9, 0.99]},
}
BEGAN = 1_800_000_000.0


def make_config(**changes: Any) -> TuningConfig:
    return TuningConfig.model_validate({"name": "asha", "space": SPACE, **changes})


def asha_config() -> TuningConfig:
    return make_config(
        search={"method": "bayesopt"}, scheduler={"grace_env_steps": 25_000}, trial={"report_env_steps": 25_000}
    )


def pbt_config() -> TuningConfig:
    space = {key: SPACE[key] for key in ("learner.learning_rate", "learner.discount")}
    scheduler = {"kind": "pbt", "perturbation_env_steps": 50_000}
    return make_config(name="pbt", num_trials=4, space=space, scheduler=scheduler)


def add_trial(history: History, trial: str, params: dict[str, Any]) -> None:
    history.take({"event": "trial", "trial": trial, "params": params})


def add_report(
    history: History, trial: str, env_steps: int, objective: float, *, success: bool = True, per_s: float = 2000.0
) -> None:
    reports, stage = history.trials[trial].reports, min(int(objective), 3) if success else 0
    history.take({
        "event": "report", "trial": trial, "time": BEGAN + env_steps / per_s, "session": 1,
        "iteration": len(reports) + 1, "env_steps": env_steps, "learner_steps": env_steps // 4,
        "seconds": env_steps / per_s, "stage": stage, "stage_name": STAGES[stage] if success else "open",
        "passed": objective >= 3.95, "success_frac": objective - stage if success else None,
        "collision_frac": 0.1 if success else None, "mean_return": 3.0 * objective, "objective": objective,
        "checkpoint": f"env-{env_steps:09d}",
    })  # fmt: skip


def add_exploit(history: History, clone: str, donor: str, params: dict[str, Any]) -> None:
    trial, other = history.trials[clone], history.trials[donor].last
    assert trial.last is not None
    assert other is not None
    history.take({
        "event": "exploit", "trial": clone, "time": trial.last.time + 1.0, "env_steps": trial.last.env_steps,
        "objective": trial.last.objective, "donor": donor, "donor_objective": other.objective,
        "donor_checkpoint": f"trials/{donor}/checkpoints/{other.checkpoint}",
        "params_before": trial.params, "params": params,
    })  # fmt: skip


def end_trial(history: History, trial: str, state: str, reason: str) -> None:
    history.take({"event": "end", "trial": trial, "state": state, "reason": reason})


def asha_history(num_trials: int = 16, last_running: bool = False) -> History:
    """Ten of 16 trials are stopped at the rungs of 25k and 100k env steps, the others finish (or two still run)."""
    rng, history = np.random.default_rng(3), History()
    history.take({"event": "session", "session": 1})
    for i in range(num_trials):
        trial = f"{i:05d}"
        rate, quality = float(10 ** rng.uniform(-5, -2)), float(rng.uniform(0.25, 1.0))
        params = {
            "learner.learning_rate": rate, "learner.discount": float(rng.uniform(0.9, 0.999)),
            "learner.batch_size": int(rng.choice([128, 256, 512])), "algo.hidden_sizes": [[64, 64], [256, 256]][i % 2],
            "curriculum.stages.*.epsilon.decay": float(rng.uniform(0.9, 0.99)),
        }  # fmt: skip
        quality = 0.35 * quality + 0.65 * (1.0 - abs(np.log10(rate) + 3.4) / 2.0)
        is_running = last_running and i >= num_trials - 2
        last = 25_000 if i % 8 in (0, 2, 5) else 100_000 if i % 8 in (4, 6) else 400_000
        last = 75_000 if is_running else last
        add_trial(history, trial, params)
        history.take({"event": "started", "trial": trial})
        for env_steps in range(25_000, last + 1, 25_000):
            value = 4.0 * quality * (1.0 - np.exp(-env_steps / 140_000)) + rng.normal(0.0, 0.05)
            add_report(history, trial, env_steps, float(np.clip(value, 0.0, 3.99)))
        if not is_running:
            done = last == 400_000
            end_trial(
                history,
                trial,
                *(("finished", "400,000 env steps") if done else ("stopped", f"below its rung at {last:,}")),
            )
    if not last_running:
        history.take({"event": "over"})
    return history


def pbt_history() -> History:
    """Four trials, six exploits: the worst goes on from the best, whose learning rate it multiplies."""
    rng, history = np.random.default_rng(5), History()
    history.take({"event": "session", "session": 1})
    weights = [0.4, 0.8, 1.0, 0.6]
    level = [0.0] * 4
    for i in range(4):
        add_trial(
            history,
            f"{i:05d}",
            {"learner.learning_rate": 10.0 ** (-4.5 + i * 0.7), "learner.discount": 0.95 + 0.01 * i},
        )
        history.take({"event": "started", "trial": f"{i:05d}"})
    for env_steps in range(50_000, 400_001, 50_000):
        for i in range(4):
            level[i] = min(level[i] + 0.55 * weights[i] + float(rng.normal(0.0, 0.05)), 3.98)
            add_report(history, f"{i:05d}", env_steps, max(level[i], 0.0))
        if 50_000 <= env_steps <= 300_000:
            worst, best = int(np.argmin(level)), int(np.argmax(level))
            old = history.trials[f"{best:05d}"].params
            factor = 1.2 if env_steps % 100_000 else 0.8
            add_exploit(
                history,
                f"{worst:05d}",
                f"{best:05d}",
                {**old, "learner.learning_rate": factor * old["learner.learning_rate"]},
            )
            level[worst], weights[worst] = level[best], 0.9
    for i in range(4):
        end_trial(history, f"{i:05d}", "finished", "400,000 env steps")
    history.take({"event": "over"})
    return history


def failed_history() -> History:
    """One trial failed for good, one failed once and runs, with names that would break a page."""
    history = History()
    history.take({"event": "session", "session": 1})
    for i, name in enumerate(("<script>alert(1)</script>", "a & 'b' \"c\" $x$")):
        add_trial(history, f"{i:05d}", {"learner.learning_rate": 1e-3, "algo.kind": name})
        history.take({"event": "started", "trial": f"{i:05d}"})
        add_report(history, f"{i:05d}", 25_000, 0.3 + i)
        history.take(
            {
                "event": "failure",
                "trial": f"{i:05d}",
                "message": "RuntimeError: <b>CUDA</b> ran [red]out[/red] of memory",
            }
        )
    end_trial(
        history, "00000", "failed", "3 failures; the last: RuntimeError: <b>CUDA</b> ran [red]out[/red] of memory"
    )
    return history


def failed_config() -> TuningConfig:
    space = {
        "learner.learning_rate": {"loguniform": [1e-5, 1e-2]},
        "algo.kind": {"choice": ["<script>alert(1)</script>", "a & 'b' \"c\" $x$"]},
    }
    return make_config(space=space, num_trials=4, scheduler={"kind": "fifo"})
