"""``robonav_ray.train``: what ``robonav train`` does, as a call."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from robonav_ray.config import RunConfig
from robonav_ray.errors import RunFaultError, UserError
from robonav_ray.evaluation.report import EvaluationReport
from robonav_ray.fronts.call_config import Overrides, asked_config
from robonav_ray.fronts.call_display import call_audience
from robonav_ray.runs.run_directory import RunDirectory, last_wiring
from robonav_ray.runtime.audience import Audience
from robonav_ray.runtime.endings import Outcome
from robonav_ray.runtime.opening import Opening, resolve_opening
from robonav_ray.runtime.signals import stop_on_interrupt
from robonav_ray.runtime.train import train as train_opened
from robonav_ray.tracking.jsonl import METRICS_FILE, read_metrics

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class TrainResult:
    """The result of a call of ``train``."""

    path: Path
    """Directory of the run."""
    status: Literal["finished", "unfinished"]
    """``unfinished``: stopped before the end, with a checkpoint where something had been learned;
    ``train(resume=path)`` goes on."""
    env_steps: int
    """Env steps over all sessions of the run."""
    evaluation: EvaluationReport | None
    """As in ``evaluation.json``; None where the run has not finished, or the evaluation was stopped."""

    def metrics(self) -> pandas.DataFrame:
        """Return what the run has logged, one row for each logged step, in order; a column is NaN where a row does not
        have it.

        Columns are ``step`` (env steps), ``time`` (s since 1970) and the metrics (``room/quantity_unit``,
        docs/metrics.md).

        Raises:
            UserError: When there is no ``metrics.jsonl`` in the run.
        """
        import pandas

        try:
            return pandas.DataFrame(read_metrics(self.path / METRICS_FILE))
        except FileNotFoundError:
            raise UserError(f"{self.path}: holds no {METRICS_FILE}, which a run writes as it goes on") from None


def train(
    config: str | Path | Mapping[str, Any] | RunConfig | None = None,
    overrides: Overrides | None = None,
    *,
    local: bool | None = None,
    resume: str | Path | None = None,
    out: str | Path | None = None,
    init_from: str | Path | None = None,
    quiet: bool = False,
) -> TrainResult:
    """Train a run to its end, evaluate the result and draw it, as ``robonav train`` does.

    ::

        result = robonav_ray.train("configs/run/quick.yaml", {"seed": 3, "budget.time_s": 20}, local=True)
        result.path, result.status, result.env_steps
        result.evaluation.levels[-1].summary.success.frac
        result.metrics()["learner/td_error_mean"].plot()
        again = robonav_ray.train(resume=result.path, overrides={"budget.time_s": 40})

    In a notebook it shows a live panel, elsewhere plain lines. Ctrl-C (an interrupt of the cell) ends the run with a
    committed checkpoint, and the call returns what there is; a second one raises KeyboardInterrupt. A Ray session that
    exists (``ray.init()``) is used and left up; without one, the run starts one of its own and shuts it down.

    Args:
        config: A YAML file, the name of a shipped config (``quick``), a mapping (nested, or by dotted keys), a
            ``RunConfig``, or None for the defaults (with ``resume``: for the run's own config).
        overrides: Values by dotted key on top, of any kind that YAML has.
        local: One process, without Ray, the same bits every time. None: as the run that ``resume`` goes on with, else
            over Ray.
        resume: A run or a checkpoint directory, or the URI of either; or ``auto`` (the newest unfinished run, else a
            new one) or ``latest``.
        out: Directory of the run, which must not exist yet; None takes ``output_dir/NAME-TIMESTAMP``.
        init_from: A run, a checkpoint or a URI; the new run begins with its weights.
        quiet: Say nothing.

    Raises:
        UserError: For what is wrong in the arguments or the config, before anything is made.
        RunFaultError: After a fault (of an environment, of a disk); what could be saved is committed, and the message
            says where.
        RunInterruptedError: When the run cannot go on for now (its storage does not answer); it can be resumed.
    """
    return train_before(
        call_audience(quiet), config, overrides, local=local, resume=resume, out=out, init_from=init_from
    )


def train_before(
    audience: Audience,
    config: str | Path | Mapping[str, Any] | RunConfig | None = None,
    overrides: Overrides | None = None,
    *,
    local: bool | None = None,
    resume: str | Path | None = None,
    out: str | Path | None = None,
    init_from: str | Path | None = None,
) -> TrainResult:
    """As ``train``, whose arguments these are, for an audience that another front has made."""
    began = time.monotonic()
    asked, words = asked_config(RunConfig, config, overrides)
    opening = resolve_opening(
        asked,
        words,
        None if resume is None else str(resume),
        None if out is None else Path(out),
        began,
        audience.screen,
        None if init_from is None else str(init_from),
    )
    with opening.held, stop_on_interrupt(in_session=True) as stop:
        trained = train_opened(opening, stop, audience, local=_was_local(opening) if local is None else local)
    if trained.verdict.outcome is Outcome.FAILED:
        raise RunFaultError(f"{trained.session.run.shown}: {trained.verdict.words}")
    status = "finished" if trained.verdict.outcome is Outcome.DONE else "unfinished"
    return TrainResult(trained.session.run.path, status, trained.ending.facts.env_steps, trained.report)


def _was_local(opening: Opening) -> bool:
    run: RunDirectory | None = None if opening.resumed is None else opening.resumed[0]
    return run is not None and last_wiring(run) == "local"
