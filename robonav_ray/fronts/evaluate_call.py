"""``robonav_ray.evaluate``: what ``robonav evaluate`` does, as a call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robonav_ray.errors import UserError
from robonav_ray.evaluation.report import EvaluationReport
from robonav_ray.fronts.call_config import Overrides, override_texts
from robonav_ray.runs.checkpoint_index import Which, checked_which
from robonav_ray.runtime import judge
from robonav_ray.runtime.signals import stop_on_interrupt
from robonav_ray.screen import plain_screen


def evaluate(
    run: str | Path,
    *,
    episodes: int | None = None,
    stages: Sequence[int | str] | int | str | None = None,
    seed: int | None = None,
    overrides: Overrides | None = None,
    checkpoint: Which | None = None,
    out: str | Path | None = None,
    quiet: bool = False,
) -> EvaluationReport:
    """Judge the policy of a run on worlds that training never saw, as ``robonav evaluate`` does.

    ::

        report = robonav_ray.evaluate("runs/curriculum-20261122-181500", episodes=200, stages=["full_challenge"])
        report.levels[-1].summary.success.frac      # of all episodes, 0 to 1; .low and .high bound it (Wilson)
        faster = robonav_ray.evaluate("runs/curriculum-20261122-181500", overrides={"env.world.difficulty": "fast"})
        faster.changes                              # ("env.world.difficulty=fast (trained with standard)",)

    Args:
        run: Directory of a run or of one of its checkpoints, the URI of either in a storage, or a model of the
            registry (``robot_nav@champion``).
        episodes: Greedy episodes per stage; None takes ``evaluation.num_episodes``.
        stages: One or several, by name or by number from 0; None takes all.
        seed: Of the held-out worlds; None takes ``evaluation.seed``.
        overrides: Settings of the worlds by dotted key, of the sections ``env``, ``curriculum.stages`` and
            ``evaluation``. The report says in ``changes`` which of them are not those of training.
        checkpoint: ``best`` or ``last``, of a run; None takes the best of a run that was judged while it trained, else
            the last.
        out: Folder for ``evaluation.json`` and ``evaluation.md``; None takes a new one in the run.
        quiet: Say nothing of how far it is.

    Returns:
        The report, with the fields of ``evaluation.json``; rates are parts of all episodes (0 to 1), lengths in m,
        times in s.

    Raises:
        UserError: For what is no run, a damaged checkpoint, a stage that there is not, or overrides under which the
            policy cannot act.
        RunFaultError: When an environment that is not ours fails.
        KeyboardInterrupt: After Ctrl-C; nothing is written.
    """
    if episodes is not None and episodes < 1:
        raise UserError(f"episodes ({episodes}) must be at least 1")
    if stages is not None:
        stages = [str(stage) for stage in ((stages,) if isinstance(stages, int | str) else stages)]
        if not stages:
            raise UserError("stages: names none; leave it out for all of them")
    report, _ = judge.evaluate(
        str(run),
        judge.Exam(episodes, stages, seed, override_texts(overrides), checked_which(checkpoint)),
        out=None if out is None else Path(out),
        screen=plain_screen(silent=quiet),
        stopping=stop_on_interrupt,
        told=lambda report: None,
    )
    return report
