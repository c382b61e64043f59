"""robonav_ray: Ray-native distributed reinforcement learning for mobile-robot navigation.

What runs around what::

              Assignment (which level to practise, how greedy, against whom)
   curriculum, league ----------------------+
       ^                                    v
       | EpisodeResults       worlds ---> rollout ---> replay ---> learner
       +------------------------------------+  ^          ^          |  |
                                               |          +----------+  |
                                               |         priorities     |
                                               +------- weights <-------+
                                                           |
                                                           +---> evaluation ---> report
                                                           +---> deploy ---> a bundle, for ``robonav_policy`` on a robot

A search (``tuning/``) runs many of these, each whole, and keeps the best.

Each word is a folder beside this file; each arrow is a Protocol in ``interfaces.py``; ``runtime/`` joins them, once
over Ray (``topology.py``) and once in a single process (``local.py``). ``verbs/`` are its commands, ``cli.py`` is the
door.

The names below are for code of one's own: calls that do what the verbs do, what they return, and classes for training
loops of one's own (``fronts/``, docs/python_api.md). They are imported when they are first asked for.
"""

import sys
from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

_FRONTS = {
    "AbResult": "robonav_ray.fronts.studies.ab_call",
    "AblationResult": "robonav_ray.fronts.studies.ablate_call",
    "CurriculumLearningSystem": "robonav_ray.fronts.curriculum_system",
    "DeviceManager": "robonav_ray.fronts.device_manager",
    "DistributedTrainer": "robonav_ray.fronts.distributed_trainer",
    "EvaluationSuite": "robonav_ray.fronts.evaluation_suite",
    "ExportResult": "robonav_ray.deploy.export",
    "ExperimentTracker": "robonav_ray.fronts.own_tracking.experiment_tracker",
    "ExposureLog": "robonav_ray.evaluation.fleet.exposures",
    "FleetSplit": "robonav_ray.evaluation.fleet.split",
    "FleetWatch": "robonav_ray.evaluation.fleet.watch",
    "PipelineOrchestrator": "robonav_ray.pipeline.orchestrator",
    "PipelineResult": "robonav_ray.pipeline.orchestrator",
    "OptunaOptimizer": "robonav_ray.fronts.optuna_optimizer",
    "RayTuneOptimizer": "robonav_ray.fronts.ray_tune_optimizer",
    "SearchResult": "robonav_ray.fronts.tune_call",
    "SelfPlayLeague": "robonav_ray.fronts.self_play.self_play_league",
    "StoredPolicy": "robonav_ray.fronts.policy_call",
    "TrainResult": "robonav_ray.fronts.train_call",
    "ab": "robonav_ray.fronts.studies.ab_call",
    "ablate": "robonav_ray.fronts.studies.ablate_call",
    "compare": "robonav_ray.fronts.compare_call",
    "evaluate": "robonav_ray.fronts.evaluate_call",
    "exam": "robonav_ray.fronts.compare_call",
    "export": "robonav_ray.deploy.export",
    "load_policy": "robonav_ray.fronts.policy_call",
    "registry": "robonav_ray.fronts.models.registry_call",
    "runs": "robonav_ray.fronts.runs_call",
    "serve": "robonav_ray.deploy.serving",
    "train": "robonav_ray.fronts.train_call",
    "tune": "robonav_ray.fronts.tune_call",
}


_ROOMS = ("registry", "runs")
"""Rooms that have the name of a call."""


class _Root(ModuleType):
    """This package; rooms that have the name of a call can be called (docs/decisions/0017)."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _ROOMS and isinstance(value, ModuleType):
            value.__class__ = _Room
        super().__setattr__(name, value)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return import_module, (self.__name__,)  # by name, as any module travels to another process


class _Room(ModuleType):
    """A room that is called: ``runs`` does what ``fronts.runs_call.runs`` does, and ``registry`` likewise."""

    def __call__(self, *arguments: object, **options: object) -> object:
        """Return all runs below a folder, or the registry at a place; see docs/python_api.md."""
        name = self.__name__.rpartition(".")[2]
        return getattr(import_module(_FRONTS[name]), name)(*arguments, **options)

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return import_module, (self.__name__,)


sys.modules[__name__].__class__ = _Root


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    if name in _ROOMS:
        return import_module(f"robonav_ray.{name}")
    if name not in _FRONTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_FRONTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_FRONTS])
