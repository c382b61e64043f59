"""How many trials fit, and what is said where none does."""

import logging

import pytest

from robonav_ray.config.load import load_run_config
from robonav_ray.config.tuning import TuningConfig
from robonav_ray.nodes.connection import ClusterError, ClusterFacts
from robonav_ray.tuning.trial_resources import plan_trials


def plan(cpus: float = 2.0, gpus: float = 0.0, run: tuple[str, ...] = (), nodes: int = 1, **sections):
    config = TuningConfig.model_validate({"space": {"learner.learning_rate": {"uniform": [0.1, 0.2]}}, **sections})
    cluster = ClusterFacts("here", True, nodes, cpus, gpus, cpus, 2**33)
    return plan_trials(config, load_run_config(None, run), cluster, [cpus / nodes] * nodes)


def test_workers_shards_and_ranks_count_together():
    found = plan(cpus=16.0, run=("learner.num_ranks=2", "rollout.num_workers=3", "replay.num_shards=4"))
    assert found.bundles == (0.5, 0.5, 0.5, 0.2, 0.2, 0.2, 0.2, 1.0, 1.0)
    assert found.max_concurrent == 3
    assert found.plan is not None
    assert found.plan.cpus_per_rank == 0.0, "Train's own group asks for none: they are in the trial's"


def test_fractions_let_a_small_machine_hold_several():
    found = plan(resources={"cpus_per_trial": 0.5})
    assert found.max_concurrent == 4
    assert found.cpus == pytest.approx(0.5, abs=1e-3)
    assert plan(trial={"wiring": "local"}).max_concurrent == 2
    assert plan(trial={"wiring": "local"}, resources={"max_concurrent": 1}).max_concurrent == 1


def test_what_does_not_fit_is_refused_with_the_sum():
    with pytest.raises(
        ClusterError,
        match=r"2 free CPUs / 2.4 per trial = 0.83 \(a trial is 0.5 \+ 0.2 \+ 0.2 \+ 0.5 \+ 1 CPUs\)|0\.83",
    ):
        plan(run=("rollout.num_workers=2",))
    with pytest.raises(ClusterError, match="the largest node has 1"):
        plan(nodes=2, resources={"cpus_per_trial": 4.0})
    with pytest.raises(ClusterError, match=r"1 GPUs / 2 per trial = 0.50"):
        plan(cpus=8.0, gpus=1.0, resources={"gpus_per_trial": 2.0})


def test_a_gpu_is_shared_or_done_without(caplog):
    assert plan(cpus=16.0, gpus=1.0, resources={"gpus_per_trial": 0.25}).max_concurrent == 4
    with caplog.at_level(logging.WARNING):
        found = plan(cpus=16.0, resources={"gpus_per_trial": 0.25})
    assert (found.gpus, found.plan.gpus_per_rank) == (0.0, 0.0)
    assert "has no GPU" in caplog.text


def test_a_population_takes_turns_by_itself():
    pbt = {"scheduler": {"kind": "pbt"}, "num_trials": 8}
    assert plan(resources={"cpus_per_trial": 0.9}, **pbt).max_concurrent == 2
    with pytest.raises(ClusterError, match="take turns by themselves"):
        plan(resources={"cpus_per_trial": 0.5, "max_concurrent": 2}, **pbt)
    with pytest.raises(ClusterError, match="must fit at once"):
        plan(cpus=32.0, gpus=1.0, resources={"gpus_per_trial": 0.25}, **pbt)
