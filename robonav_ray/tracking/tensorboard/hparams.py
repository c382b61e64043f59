"""The config of a run in TensorBoard's hparams tab, in the event files of the run itself: ``add_hparams`` of torch
would make a second run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robonav_ray.tracking.backend import RunEnding
from robonav_ray.tracking.run_facts import flat_config

FIGURES = ("curriculum/success_frac", "curriculum/return_mean", "curriculum/stage")
"""Scalars that stand beside the values."""


def begin(config: Mapping[str, Any], group: str, at: float) -> list[Any]:
    """Return the values of a session that begins at ``at``."""
    from tensorboard.plugins.hparams.api_pb2 import Experiment, HParamInfo, MetricInfo, MetricName  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.plugins.hparams.metadata import EXPERIMENT_TAG, SESSION_START_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo  # pyright: ignore[reportAttributeAccessIssue]

    values = flat_config(config)
    start = SessionStartInfo(group_name=group, start_time_secs=at)
    for key, value in values.items():
        if isinstance(value, bool):
            start.hparams[key].bool_value = value
        elif isinstance(value, int | float):
            start.hparams[key].number_value = value
        else:
            start.hparams[key].string_value = value
    experiment = Experiment(
        hparam_infos=[HParamInfo(name=key) for key in values],
        metric_infos=[MetricInfo(name=MetricName(tag=tag)) for tag in FIGURES],
        time_created_secs=at,
    )
    return [
        _value(EXPERIMENT_TAG, HParamsPluginData(experiment=experiment)),
        _value(SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start)),
    ]


def end(ending: RunEnding, at: float) -> list[Any]:
    """Return how a session ended; nothing for one that is to go on, as TensorBoard believes the first."""
    from tensorboard.plugins.hparams.api_pb2 import Status  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.plugins.hparams.metadata import SESSION_END_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo  # pyright: ignore[reportAttributeAccessIssue]

    if ending.status != "finished":
        return []
    info = SessionEndInfo(status=Status.STATUS_SUCCESS, end_time_secs=at)
    return [_value(SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))]


def _value(tag: str, data: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
    from tensorboard.plugins.hparams.metadata import NULL_TENSOR, create_summary_metadata

    return Summary.Value(tag=tag, metadata=create_summary_metadata(data), tensor=NULL_TENSOR)
