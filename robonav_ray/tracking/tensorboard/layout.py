"""The first page: success, speed and the learner's health, as charts of TensorBoard's custom scalars."""

from __future__ import annotations

from typing import Any

from robonav_ray.tracking.tensorboard.summaries import plugin_value

PAGE: dict[str, dict[str, tuple[str, ...]]] = {
    "success": {
        "success and collisions": (r"curriculum/(success|collision)_frac",),
        "stage": (r"curriculum/stage",),
        "return": (r"curriculum/return_mean",),
        "judged while it trains": (r"evaluation/(success|collision)_frac",),
    },
    "speed": {
        "env steps per second": (r"rollout/env_steps_per_s",),
        "learner steps per second": (r"learner/steps_per_s",),
        "time that the learner waits": (r"learner/wait_frac",),
        "samples per insert": (r"replay/samples_per_insert",),
    },
    "learner health": {
        "loss and TD error": (r"learner/loss", r"learner/td_error_mean"),
        "Q values": (r"learner/q_.*",),
        "gradient norm": (r"learner/grad_norm.*",),
        "policy lag": (r"(learner|rollout)/policy_lag_.*",),
    },
}
"""Titles of groups and charts, and the names of metrics in each, as regular expressions."""


def first_page(*, is_judged: bool) -> Any:
    """Return the layout as the summary that TensorBoard reads it from; what needs judgements beside the training
    stands in it where there are any.
    """
    from tensorboard.plugins.custom_scalar import metadata
    from tensorboard.plugins.custom_scalar.layout_pb2 import Category, Chart, Layout, MultilineChartContent  # pyright: ignore[reportAttributeAccessIssue]

    groups = [
        Category(
            title=title,
            chart=[
                Chart(title=name, multiline=MultilineChartContent(tag=tags))
                for name, tags in charts.items()
                if is_judged or not tags[0].startswith("evaluation/")
            ],
        )
        for title, charts in PAGE.items()
    ]
    content = metadata.create_summary_metadata().plugin_data
    layout = Layout(category=groups).SerializeToString()
    return plugin_value(metadata.CONFIG_SUMMARY_TAG, content.plugin_name, content.content, layout)
