"""``python -m robonav_ray.raytune_optimizer``: a search on Ray Tune, over our curriculum or the user's own function.

The class behind it is ``robonav_ray.RayTuneOptimizer`` (docs/tuning.md).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from robonav_ray.config.load import ConfigError
from robonav_ray.errors import EXIT_RESUME
from robonav_ray.fronts.plain_names import common_run
from robonav_ray.fronts.ray_tune_optimizer import RayTuneOptimizer
from robonav_ray.runs.located import refuse_unwritable
from robonav_ray.runtime.signals import sigterm_interrupts, stop_on_signals, stop_shared
from robonav_ray.screen import say, say_error, show_warnings
from robonav_ray.text import path_word
from robonav_ray.user_code import load_user_code
from robonav_ray.verbs.exit_codes import end_with_code

__all__ = ["RayTuneOptimizer"]
METHODS = ("asha", "pbt", "bayesopt")
WIRINGS = ("local", "ray")
app = typer.Typer(pretty_exceptions_enable=False, rich_markup_mode="markdown", add_completion=False)


@app.command(
    epilog="Examples:\n\n`python -m robonav_ray.raytune_optimizer`\n\n"
    "`python -m robonav_ray.raytune_optimizer --method pbt --num-samples 8 --perturbation-interval 50`\n\n"
    "`python -m robonav_ray.raytune_optimizer --gpus-per-trial 0.25 --num-samples 50 preset=navigation`\n\n"
    "`python -m robonav_ray.raytune_optimizer --train-fn mytraining:train_with_config`"
)
def search(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[section.key=value ...]",
            help="What all runs have in common: keys of a run's config (`robonav config show`).",
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(help="`asha` stops bad trials early, `pbt` is a population, `bayesopt` a Gaussian process.")
    ] = "asha",
    num_samples: Annotated[
        int | None, typer.Option(min=1, help="Trials in all; default: 16, of a population 4.")
    ] = None,
    cpus_per_trial: Annotated[float, typer.Option(help="CPUs of a trial, over all its processes.")] = 1.0,
    gpus_per_trial: Annotated[float, typer.Option(help="GPUs of a trial; a fraction shares one.")] = 0.0,
    max_concurrent: Annotated[int, typer.Option(min=1, help="bayesopt: trials at once at most.")] = 4,
    perturbation_interval: Annotated[
        int, typer.Option(min=1, help="pbt: iterations (of 1,000 env steps) between two comparisons.")
    ] = 50,
    experiment_name: Annotated[str, typer.Option(help="Directories are `STORAGE_PATH/NAME-METHOD-TIMESTAMP`.")] = (
        "robot_nav_raytune"
    ),
    storage_path: Annotated[Path, typer.Option(help="Where the directory of the search is made.")] = Path("runs"),
    output_dir: Annotated[Path, typer.Option(help="Folder for the best config and the report.")] = Path(
        "raytune_results"
    ),
    max_env_steps: Annotated[int, typer.Option(min=1, help="Env steps of a run of our curriculum.")] = 400_000,
    wiring: Annotated[
        str, typer.Option(help="`local`: a trial is one process; `ray`: it has workers, shards and ranks of its own.")
    ] = "local",
    seed: Annotated[int, typer.Option(min=0, help="Of the search.")] = 0,
    train_fn: Annotated[
        str | None,
        typer.Option(
            metavar="module:name",
            help="A function of your own in place of our curriculum: `f(config)` returns a number, or reports "
            "(docs/tuning.md).",
        ),
    ] = None,
) -> None:
    """Search for the best hyper-parameters on Ray Tune, over many whole curriculum runs.

    Ctrl-C stops the search with all that it has found; `robonav tune --resume DIRECTORY` goes on with it.
    """
    show_warnings()
    for option, word, words in (("--method", method, METHODS), ("--wiring", wiring, WIRINGS)):
        if word not in words:
            raise ConfigError(f"{option} {word!r}: choose {', '.join(words)}")
    run = common_run(overrides, is_ours=train_fn is None)
    refuse_unwritable(output_dir, "--output-dir")
    optimizer = RayTuneOptimizer(
        experiment_name,
        train_fn=None if train_fn is None else load_user_code(train_fn, "robonav_ray.train_functions", "--train-fn"),
        run=run,
        storage_path=storage_path,
        wiring=cast("Literal['ray', 'local']", wiring),
        max_env_steps=max_env_steps,
        seed=seed,
    )
    count, cpus, gpus = num_samples or (4 if method == "pbt" else 16), cpus_per_trial, gpus_per_trial
    try:
        with _stopping(is_ours=train_fn is None):
            if method == "asha":
                optimizer.optimize_with_asha(count, cpus, gpus)
            elif method == "pbt":
                optimizer.optimize_with_pbt(count, perturbation_interval, cpus_per_trial=cpus, gpus_per_trial=gpus)
            else:
                optimizer.optimize_with_bayesopt(count, max_concurrent, cpus_per_trial=cpus, gpus_per_trial=gpus)
    except KeyboardInterrupt:
        say_error("stopped before a trial has reported; `robonav tune --resume latest` goes on")
        raise typer.Exit(EXIT_RESUME) from None
    say(f"best: {optimizer.best_value:.4g}")
    for name, value in optimizer.best_config.items():
        say(f"  {name}: {value:.4g}" if isinstance(value, float) else f"  {name}: {value}")
    say(f"written: {', '.join(path_word(path) for path in optimizer.save_results(output_dir))}")
    if optimizer.was_stopped:
        say_error("stopped before the end; the commands above go on with it")
        raise typer.Exit(EXIT_RESUME)


@contextlib.contextmanager
def _stopping(*, is_ours: bool) -> Iterator[None]:
    """Have signals end a search over our curriculum when its trials have committed, another by KeyboardInterrupt."""
    if not is_ours:
        with sigterm_interrupts():
            yield
        return
    with stop_on_signals() as stop, stop_shared(stop):
        yield


if __name__ == "__main__":
    end_with_code(app)
