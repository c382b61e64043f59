"""Ray Train's trainers, changed where a small machine and a run that must be endable from outside need them to be."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

from robonav_ray.files.plain_files import append, read_text
from robonav_ray.part_names import GROUPS_SUFFIX

FAILURES_SUFFIX = ".failures"
"""Of the file with a line for each time that ranks of a run have failed."""


def lean_trainer_class(base: Any, groups: Path, controllers: list[Any]) -> Any:
    """Return ``base`` without three helper processes that cost a small machine seconds at every start.

    ``base`` is DataParallelTrainer of Ray Train, or TorchTrainer, which is that and forms a process group. The handle
    of its controller is appended to ``controllers``, so that it can be ended from outside.

    * PlacementGroupCleaner asks the dashboard once a second whether the controller lives, and complains each time where
      there is none. ``stop`` through the mailbox lets Train remove its placement group itself, and Ray does at the end
      of the job. Where a job outlives a run that was killed, the process that finds it dead removes the groups whose
      names begin as the file ``groups`` is called: Train gives them none, so ours does.
    * AutoscalingCoordinator (of Ray Data, a detached actor) shares a cluster between Train and Data runs. An
      autoscaling cluster grows for the ranks all the same, because their placement group is pending.
    * DatasetManager (of Ray Data) hands out shards of datasets, of which a run has none: its rows come from the replay.
    """
    import ray
    from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
    from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
    from ray.train.v2._internal.constants import get_env_vars_to_propagate
    from ray.train.v2._internal.execution.callback import WorkerGroupCallback
    from ray.train.v2._internal.execution.controller import TrainController
    from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    class FixedRanks(FixedScalingPolicy):
        def _send_resource_request(self) -> None:
            """There is no other rank to ask."""

        _maybe_send_resource_request = _cancel_resource_request = _send_resource_request

    prefix = groups.name.removesuffix(GROUPS_SUFFIX)

    class NameGroup(WorkerGroupCallback):
        def before_worker_group_start(self, worker_group_context: Any) -> None:
            """Let the group that Train is about to make, in this process, have a name."""
            from ray.train.v2._internal.execution.worker_group import worker_group
            from ray.util.placement_group import placement_group

            module: Any = worker_group
            module.placement_group = functools.partial(placement_group, name=f"{prefix}#{time.time_ns()}")

        def after_worker_group_poll_status(self, worker_group_status: Any) -> None:
            """Write down which ranks have failed, when Train first hears of it."""
            if worker_group_status.errors:
                said = "; ".join(f"rank {rank} {_reason(error)}" for rank, error in worker_group_status.errors.items())
                append(groups.with_suffix(FAILURES_SUFFIX), f"{said}\n")

    class LeanTrainer(base):
        def _create_default_callbacks(self) -> list[Any]:
            unwanted = (PlacementGroupCleanerCallback, DatasetsCallback)
            return [NameGroup(), *(c for c in super()._create_default_callbacks() if not isinstance(c, unwanted))]

        def _initialize_and_run_controller(self, **arguments: Any) -> Any:
            here: Any = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
            controller_class: Any = ray.remote(
                num_cpus=0, scheduling_strategy=here, runtime_env={"env_vars": get_env_vars_to_propagate()}
            )(TrainController)
            controller = controller_class.remote(**{**arguments, "scaling_policy": FixedRanks(self.scaling_config)})
            controllers.append(controller)
            ray.get(controller.run.remote())
            return ray.get(controller.get_result.remote())

    return LeanTrainer


def read_failures(groups: Path) -> list[str]:
    """Return a line for each time that ranks of a run have failed so far; ``groups`` is the file that names its
    placement groups.
    """
    path = groups.with_suffix(FAILURES_SUFFIX)
    return read_text(path, errors="replace").splitlines() if path.exists() else []


def _reason(error: BaseException) -> str:
    if "HealthCheckTimeout" in type(error).__name__:
        return "was silent for too long"
    cause = getattr(error, "health_check_failure", None)
    return (
        "died"
        if cause is not None
        else f"failed: {type(error).__name__}: {str(error).splitlines()[0][:120] if str(error) else ''}"
    )
