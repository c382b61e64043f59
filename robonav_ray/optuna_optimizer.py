"""``python -m robonav_ray.optuna_optimizer``: a search with Optuna, over our curriculum or the user's own function.

The class behind it is ``robonav_ray.OptunaOptimizer`` (docs/optuna.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from robonav_ray.config.load import dump_config
from robonav_ray.errors import EXIT_RESUME
from robonav_ray.files.plain_files import replace
from robonav_ray.fronts.optuna_optimizer import OptunaOptimizer
from robonav_ray.fronts.plain_names import common_run
from robonav_ray.runs.located import refuse_unwritable
from robonav_ray.runtime.signals import sigterm_interrupts
from robonav_ray.screen import say, say_error, show_warnings
from robonav_ray.text import command_text, path_word
from robonav_ray.user_code import load_user_code
from robonav_ray.verbs.exit_codes import end_with_code

__all__ = ["OptunaOptimizer"]
app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="markdown", add_completion=False)


@app.command(
    epilog="Examples:\n\n`python -m robonav_ray.optuna_optimizer`\n\n"
    "`python -m robonav_ray.optuna_optimizer --n-trials 50 --n-jobs 3 preset=dqn seed=3`\n\n"
    "`python -m robonav_ray.optuna_optimizer --resume`\n\n"
    "`python -m robonav_ray.optuna_optimizer --train-fn mytraining:train_with_config --n-trials 100`"
)
def search(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[section.key=value ...]",
            help="What all runs have in common: keys of a run's config (`robonav config show`).",
        ),
    ] = None,
    n_trials: Annotated[int, typer.Option(min=1, help="Trials that are added to the study.")] = 20,
    n_jobs: Annotated[int, typer.Option(min=1, help="Trials at a time, each in a process of its own.")] = 1,
    study_name: Annotated[str, typer.Option(help="The study; one of this name is added to.")] = "robot_nav_hpo",
    storage: Annotated[
        str, typer.Option(help="Where the study is kept: `sqlite:///FILE.db`, or `journal:FILE` for several machines.")
    ] = "sqlite:///optuna_studies.db",
    direction: Annotated[str, typer.Option(help="`maximize` or `minimize` what a trial returns.")] = "maximize",
    output_dir: Annotated[
        Path, typer.Option(help="Folder for the best config, all trials as CSV, and five plots.")
    ] = Path("optuna_results"),
    max_env_steps: Annotated[int, typer.Option(min=1, help="Env steps of a run of our curriculum.")] = 400_000,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the sampler; default: another each time.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Run what is missing of the trials that were asked for, and no new ones.")
    ] = False,
    train_fn: Annotated[
        str | None,
        typer.Option(
            metavar="module:name",
            help="A function of your own in place of our curriculum: `f(config)` or `f(config, trial)` returns a "
            "number (docs/optuna.md).",
        ),
    ] = None,
) -> None:
    """Search for the best hyper-parameters with Optuna: tree-structured Parzen estimator, bad trials pruned early.

    A trial is a whole curriculum run in one process. The study is kept after every trial, and the same command adds to
    it. Ctrl-C stops it; `--resume` goes on.
    """
    show_warnings()
    refuse_unwritable(output_dir, "--output-dir")
    run = common_run(overrides, is_ours=train_fn is None)
    function = _function(train_fn, run, max_env_steps)
    optimizer = OptunaOptimizer(study_name=study_name, storage=storage, direction=direction, seed=seed)
    try:
        with sigterm_interrupts():
            if resume:
                optimizer.resume(function, n_jobs=n_jobs)
            else:
                optimizer.optimize(function, n_trials=n_trials, n_jobs=n_jobs)
    except KeyboardInterrupt:
        say_error("stopped; the study keeps what is done: go on with the same command and --resume")
        raise typer.Exit(EXIT_RESUME) from None
    counts = ", ".join(f"{count} {state}" for state, count in optimizer.num_trials.items() if count)
    say(f"study {study_name}: {counts}")
    say(f"best: {optimizer.best_value:.4g} of trial {optimizer.best_trial.number}")
    for name, value in optimizer.best_config.items():
        say(f"  {name}: {value:.4g}" if isinstance(value, float) else f"  {name}: {value}")
    written = [*optimizer.save_results(output_dir), *optimizer.visualize(output_dir)]
    if train_fn is None:
        written.append(_save_run(optimizer, run, output_dir))
    say(f"written: {', '.join(path_word(path) for path in written)}")
    if train_fn is None:
        say(f"  {command_text('robonav', 'train', path_word(written[-1]))}   # a run with the best values")


def _function(train_fn: str | None, run: dict[str, Any], max_env_steps: int) -> Any:
    if train_fn is not None:
        return load_user_code(train_fn, "robonav_ray.train_functions", "--train-fn")
    from robonav_ray.fronts.curriculum_objective import curriculum_objective

    return curriculum_objective(run, max_env_steps=max_env_steps)


def _save_run(optimizer: OptunaOptimizer, run: dict[str, Any], output_dir: Path) -> Path:
    """Write the best values as the config of a run."""
    from robonav_ray.fronts.curriculum_objective import curriculum_run

    path = output_dir / "best_config.yaml"
    replace(path, dump_config(curriculum_run(optimizer.best_config, run)))
    return path


if __name__ == "__main__":
    end_with_code(app)
