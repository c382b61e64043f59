"""What configs/run/everett.yaml is shipped for: robots that all learn at once solve Everett's cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from proofs.studies.everett_study import play, policy_of, scored
from robonav_ray.fronts.train_call import train


@pytest.mark.slow
def test_one_policy_solves_cases_of_any_number_of_robots(tmp_path: Path) -> None:
    """Some 80 CPU seconds; after 3 million env steps, 2 minutes of CPU, .99 of all are solved (docs/league.md)."""
    changes = {"budget.max_env_steps": 1_500_000, "budget.time_s": 0.0, "evaluation.num_episodes": 10}
    result = train("everett", {**changes, "evaluation.gif_episodes": 0}, out=tmp_path / "run", local=True, quiet=True)
    policy, _, world = policy_of(result.path)
    for robots, least in ((2, 0.95), (4, 0.95), (8, 0.9)):
        found = scored(play(world, [policy] * robots, 200))
        assert found["solved"] >= least, (robots, found)
