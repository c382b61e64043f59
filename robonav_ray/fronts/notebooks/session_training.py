"""A training in a session that ends: goes on where an earlier one stopped, and stops before the limit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from robonav_ray.config import RunConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.errors import UserError
from robonav_ray.fronts.call_config import override_texts
from robonav_ray.fronts.call_display import call_audience
from robonav_ray.fronts.notebooks.earlier_runs import EarlierRun, earlier_run
from robonav_ray.fronts.notebooks.places import Place
from robonav_ray.fronts.notebooks.progress_bars import ProgressBars, bar_maker
from robonav_ray.fronts.notebooks.session_limit import Session
from robonav_ray.fronts.train_call import TrainResult, train_before


def find_earlier_run(place: Place, config: str | Path, overrides: Mapping[str, Any] | None = None) -> EarlierRun:
    """Return the run that ``train_in_session`` goes on with for this config: the newest unfinished one of its name.

    Raises:
        UserError: For what is wrong in the config, and when the Drive cannot be read.
    """
    switched_on = {"evaluation.interval_s": 60.0, "checkpoint.interval_episodes": 500}
    return earlier_run(place, _checked(config, {**switched_on, **(overrides or {})}).name)


def train_in_session(
    config: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    place: Place,
    session: Session,
    checkpoint_minutes: float = 1.0,
    checkpoint_episodes: int | None = None,
    keep_numbered: int = 10,
    judge_minutes: float = 1.0,
    local: bool = False,
) -> TrainResult:
    """Train, or go on with the newest unfinished run of the config's name; stop, with a checkpoint, when the session's
    margin begins.

    Two bars and the panel show where it stands. An interrupt of the cell stops it as well; run the cell again and it
    goes on.

    Args:
        config: A YAML file, or the name of a shipped config.
        overrides: Values by dotted key on top; they also win over what this call sets.
        place: Where runs are made and kept.
        session: What is left of it is the training's time limit.
        checkpoint_minutes: Between two checkpoints.
        checkpoint_episodes: Episodes between two numbered checkpoints; None makes none.
        keep_numbered: Newest numbered checkpoints that stay: the disk of a session is small.
        judge_minutes: Between two judgements on held-out worlds; the best policy stays.
        local: One process, without Ray.

    Raises:
        UserError: For what is wrong in the config, and when the session has no time left.
        RunFaultError, RunInterruptedError: As ``robonav_ray.train``.
    """
    left_s = session.left_s()
    if left_s <= 0.0:
        raise UserError(
            f"the session has {session.limit_s / 3600:g} hours, and the time to train in it is used; what was learned "
            "is kept: start a new session and run all cells, and the training goes on"
        )
    asked = {
        "output_dir": str(place.runs),
        "checkpoint.storage": None if place.storage is None else str(place.storage),
        "checkpoint.interval_s": 60.0 * checkpoint_minutes,
        "checkpoint.interval_episodes": checkpoint_episodes,
        "checkpoint.keep_numbered": None if checkpoint_episodes is None else keep_numbered,
        "evaluation.interval_s": 60.0 * judge_minutes,
        "budget.max_time_s": left_s,
        **(overrides or {}),
    }
    _checked(config, asked)
    if not place.kept.is_dir():
        raise UserError(f"{place.kept}: is not there; run the cell that mounts the Drive again")
    audience = call_audience(quiet=False)
    make_view, make_bar = audience.make_view, bar_maker()
    audience = replace(audience, make_view=lambda kind: ProgressBars(make_view(kind), session, make_bar))
    return train_before(audience, config, asked, local=local, resume="auto")


def _checked(config: str | Path, overrides: Mapping[str, Any] | None) -> RunConfig:
    return load_run_config(Path(config), override_texts(overrides))
