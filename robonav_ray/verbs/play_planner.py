"""``robonav play --planner NAME``: let a planner drive, in a run's worlds or in those of the defaults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from robonav_ray.errors import EXIT_RESUME

if TYPE_CHECKING:
    from robonav_ray.config import RunConfig
    from robonav_ray.screen import Screen


def play_planner(
    name: str,
    run: str | None,
    output: Path | None,
    window: bool,
    stage: str | None,
    episodes: int,
    seed: int,
    json: bool = False,
) -> int:
    """Film planner ``name`` (as ``planners.base.make_planner`` takes it), or show it in a window; return the exit code.

    Raises:
        UserError: For a planner, run or stage that is not there, or worlds that the planner cannot drive.
    """
    from robonav_ray.config.load import ConfigError
    from robonav_ray.planners.base import find_planner
    from robonav_ray.runs.task import describe_task
    from robonav_ray.runtime.filming import draw_planner, show_planner
    from robonav_ray.runtime.judge import checked_stages, stage_numbers
    from robonav_ray.verbs.as_json import print_json, screen_beside

    find_planner(name)
    config = _config_of(run)
    if not config.env.is_native:
        raise ConfigError(f"--planner: planners drive our own worlds only, not env.id={config.env.id!r}")
    task = describe_task(config)
    number = checked_stages(task, None if stage is None else stage_numbers([stage], config, "--stage"))[-1]
    screen = screen_beside(json)
    if window:
        if output is not None:
            raise ConfigError("--output goes with a GIF; leave it away together with --window")
        with_pygame(lambda: show_planner(name, config, task, stage=number, seed=seed), screen)
        return 0
    target = output or Path(f"play-{name.replace(':', '-')}-stage{number}-seed{seed}.gif")
    num_frames = write_film(
        target,
        lambda: draw_planner(target, name, config, task, stage=number, num_episodes=episodes, seed=seed),
        screen,
    )
    if num_frames is None:
        return EXIT_RESUME
    screen.print(f"written: {target} ({num_frames:,} pictures)")
    if json:
        print_json({"written": [target], "pictures": num_frames, "stage": task.shown_name(number), "seed": seed})
    return 0


def write_film(target: Path, draw: Callable[[], int], screen: Screen) -> int | None:
    """Let ``draw`` write the film ``target``; return its number of pictures, or None when the user stopped it.

    Raises:
        ConfigError: When the file cannot be written.
    """
    from robonav_ray.config.load import ConfigError
    from robonav_ray.files.plain_files import check_replaceable
    from robonav_ray.runs.located import refuse_unwritable
    from robonav_ray.runtime.examination.compiling import said_on
    from robonav_ray.runtime.signals import stop_on_signals
    from robonav_ray.runtime.watching import EvaluationStopped, stopped_at_once

    refuse_unwritable(target.parent, "--output")
    check_replaceable(target)
    if target.is_symlink():
        raise ConfigError(f"--output {target}: is a link; name the file itself")
    with stop_on_signals(needs_reader=False) as stop:
        try:
            with stopped_at_once(stop), said_on(screen):
                return draw()
        except EvaluationStopped:
            screen.print("the film was stopped, and nothing is written")
            return None


def _config_of(run: str | None) -> RunConfig:
    """Return the config of ``run``, or the defaults."""
    from robonav_ray.config import RunConfig
    from robonav_ray.registry.by_name import located

    if run is None:
        return RunConfig()
    with located(run) as found:
        return found.run.config


def with_pygame(show: Callable[[], None], screen: Screen) -> None:
    """Call ``show``, and say when kernels are compiled; ConfigError, with what to install, where it wants pygame-ce and
    there is none.
    """
    from gymnasium.error import DependencyNotInstalled

    from robonav_ray.config.load import ConfigError
    from robonav_ray.runtime.examination.compiling import said_on

    try:
        with said_on(screen):
            show()
    except DependencyNotInstalled as error:
        raise ConfigError(str(error)) from None
