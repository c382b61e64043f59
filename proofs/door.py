"""The one door: which programs there are, and how one is run."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from robonav_ray.screen import say, write_to

BAD_NAME = 2


@dataclass(frozen=True)
class Program:
    """A module with ``main(arguments)``, which returns an exit code or None, and what it is for."""

    module: str
    text: str


PROGRAMS = {
    "bench_acting": Program("proofs.bench.acting", "what a worker pays for acting, in microseconds"),
    "bench_algorithms": Program("proofs.bench.algorithms", "cost of an update and of an action for every algorithm"),
    "bench_checkpoint": Program("proofs.bench.checkpoint", "how long a learner waits while a big replay is saved"),
    "bench_curriculum": Program("proofs.bench.curriculum", "seconds and env steps until the curriculum is passed"),
    "bench_features": Program("proofs.bench.features", "updates/s in half precision, compiled, in CUDA graphs"),
    "bench_judging": Program("proofs.bench.judging", "how much judging beside it slows a training"),
    "bench_learner": Program("proofs.bench.learner", "the learner fed by actors, against a bare torch loop"),
    "bench_object_store": Program("proofs.bench.object_store", "how full the smallest object store gets in a run"),
    "bench_peers": Program("proofs.peers.program", "seconds to one success rate: ours, SB3 and RLlib"),
    "bench_replay": Program("proofs.bench.replay", "transitions/s of the replay, against cpprb"),
    "bench_robot": Program("proofs.bench.robot", "what a decision and a bundle cost a robot"),
    "bench_rollout": Program("proofs.bench.rollout", "env steps/s of one rollout worker, policy included"),
    "bench_scale": Program("proofs.scale.program", "how a run scales, and what to take for N cores"),
    "bench_serving": Program("proofs.bench.serving", "latencies of robonav serve, over loopback"),
    "bench_trackers": Program("proofs.bench.trackers", "how much a slow or broken tracker slows a training"),
    "bench_tracker_costs": Program("proofs.bench.tracker_costs", "what TensorBoard, MLflow and W&B cost a training"),
    "bench_tune": Program("proofs.bench.tune", "what a search costs and saves, and what it leaves behind"),
    "bench_worlds": Program("proofs.bench.worlds", "env steps/s of the worlds on one core"),
    "blind_cliffwalk": Program(
        "proofs.studies.blind_cliffwalk", "updates that prioritised replay needs to find one reward"
    ),
    "chaos": Program("proofs.chaos.program", "break a training on purpose, and judge by the promises"),
    "crowdnav_orca": Program("proofs.studies.crowdnav_orca", "the published ORCA row of CrowdNav, in these worlds"),
    "evaluation_study": Program(
        "proofs.studies.evaluation_study", "two trained policies and all planners over all suites"
    ),
    "everett_orca": Program("proofs.studies.everett_orca", "the ORCA row of Everett's cases, on draws of our own"),
    "everett_study": Program("proofs.studies.everett_study", "self-play against leagues on Everett's cases"),
    "feasibility": Program("proofs.studies.feasibility", "how many worlds a planner wins that sees everything"),
    "judge_planners": Program("proofs.studies.judge_planners", "every planner on held-out worlds, tuned and untuned"),
    "promises": Program("proofs.chaos.stops_and_kills", "stops and kills of the driver, tried on real runs"),
    "prove_cluster": Program("proofs.chaos.cluster_job", "a cluster, a job, a node killed, another added"),
    "reproduce": Program("proofs.reproduction.program", "run published results again and compare"),
    "robustness_study": Program("proofs.studies.robustness", "what makes one policy good in all weathers"),
    "sim_to_sim": Program("proofs.studies.sim_to_sim", "a bundle in ir-sim, beside the same worlds here"),
    "study_policy": Program("proofs.studies.policy", "what decides the policy's quality on the last stage"),
    "study_presets": Program("proofs.studies.presets", "every preset on environments that are not ours"),
    "tune_planners": Program("proofs.studies.tune_planners", "settings with which a planner wins more worlds"),
}


def main(arguments: Sequence[str] | None = None) -> int | str | None:
    """Run the program that the first argument names with the others; without any, list the programs. Returns what the
    program returns.

    ``sys.argv`` becomes the program's, so that its usage line says how it was called.
    """
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("--help", "-h"):
        list_programs()
        return 0
    if name not in PROGRAMS:
        near = difflib.get_close_matches(name, PROGRAMS, n=1, cutoff=0.0)[0]
        write_to(sys.stderr, f"there is no program {name!r}; did you mean {near!r}? `python -m proofs` lists all\n")
        return BAD_NAME
    sys.argv = [f"python -m proofs {name}", *rest]
    return importlib.import_module(PROGRAMS[name].module).main(rest)


def list_programs() -> None:
    """Print every program's name and what it is for."""
    say("python -m proofs NAME [arguments]; NAME --help says more\n")
    for name, program in PROGRAMS.items():
        say(f"  {name:<20}{program.text}")
