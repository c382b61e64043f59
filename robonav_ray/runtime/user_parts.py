"""Parts of a run that are the user's own code: looked for before anything is made or started."""

from __future__ import annotations

from robonav_ray.config import RunConfig
from robonav_ray.evaluation.own_metrics import find_metrics
from robonav_ray.runs.task import Task
from robonav_ray.tracking.fanout import find_extra


def check_user_code(config: RunConfig, task: Task) -> None:
    """Raise UserError for the first tracker, metric or network of the config that is not there, or breaks its
    contract.
    """
    find_extra(config.tracking)
    find_metrics(config.evaluation.metrics)
    if config.algo.network is not None:
        from robonav_ray.algo.own_torch_network import check_own_network

        check_own_network(task.obs_dim, task.num_actions, config.algo)
