"""The steps, one file each: what decides on the result, and the one call that makes it.

Consumes: a pipeline's config, and the facts of the steps before.
Produces: facts, and files in the step's folder.
Waits for: the call that the step makes (seconds to days).
"""

from __future__ import annotations

from collections.abc import Mapping

from robonav_ray.config.pipeline import StepName
from robonav_ray.pipeline.step import Step
from robonav_ray.pipeline.steps import (
    back_up,
    evaluate,
    export,
    notify,
    prepare,
    register,
    report,
    search,
    select,
    train,
    visualise,
)

_ROOMS = (prepare, search, train, select, evaluate, visualise, report, export, register, back_up, notify)
STEPS: Mapping[StepName, Step] = {room.STEP.name: room.STEP for room in _ROOMS}
"""All there are, by name."""
