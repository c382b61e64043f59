"""robonav_ray: Ray-native distributed reinforcement learning for mobile-robot navigation.

What runs around what::

              Assignment (which level to practise, how greedy)
   curriculum ------------------------------+
       ^                                    v
       | EpisodeResults       worlds ---> rollout ---> replay ---> learner
       +------------------------------------+  ^          ^          |  |
                                               |          +----------+  |
                                               |         priorities     |
                                               +------- weights <-------+
                                                           |
                                                           +---> evaluation

A search (``tuning/``) runs many of these, each whole, and keeps the best.

Each word is a folder beside this file; each arrow is a Protocol in ``interfaces.py``; ``runtime/`` joins them, once over
Ray (``topology.py``) and once in a single process (``local.py``). ``verbs/`` are its commands, ``cli.py`` is the door.

The classes below are fronts over these rooms for training loops of one's own. They are imported when they are first asked for.
"""

from importlib import import_module

__version__ = "0.1.0"

_FRONTS = {
    "CurriculumLearningSystem": "robonav_ray.fronts.curriculum_system",
    "DeviceManager": "robonav_ray.fronts.device_manager",
    "DistributedTrainer": "robonav_ray.fronts.distributed_trainer",
    "OptunaOptimizer": "robonav_ray.fronts.optuna_optimizer",
    "RayTuneOptimizer": "robonav_ray.fronts.ray_tune_optimizer",
    "StoredPolicy": "robonav_ray.fronts.policy_call",
    "evaluate": "robonav_ray.fronts.evaluate_call",
    "load_policy": "robonav_ray.fronts.policy_call",
}


def __getattr__(name: str) -> object:
    """Import a front on first use."""
    if name not in _FRONTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_FRONTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_FRONTS])
