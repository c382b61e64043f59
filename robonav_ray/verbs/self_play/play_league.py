"""``robonav play --league RUN [MEMBER]...``: members of a league in one world."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from robonav_ray.errors import EXIT_RESUME

if TYPE_CHECKING:
    from robonav_ray.evaluation.played_case import PlayedCase
    from robonav_ray.screen import Screen


def play_league(
    run: str,
    members: list[str],
    output: Path | None,
    window: bool,
    stage: str | None,
    case: str | None,
    seed: int | None,
    ignored: list[str],
    json: bool = False,
) -> int:
    """Let members play one case, say how it ended, and film it, or show it in a window; return the exit code.

    ``ignored`` are options that were given and have no meaning here: UserError names the first.
    """
    from robonav_ray.config.load import ConfigError
    from robonav_ray.evaluation.played_case import film_case, show_case
    from robonav_ray.runs.located import refuse_uri
    from robonav_ray.runtime.judge import stage_numbers
    from robonav_ray.runtime.self_play.film import play_members
    from robonav_ray.runtime.self_play.league_of_run import located_league
    from robonav_ray.text import path_word
    from robonav_ray.verbs.as_json import print_json, screen_beside
    from robonav_ray.verbs.play_planner import with_pygame, write_film

    if ignored:
        raise ConfigError(f"{ignored[0]} does not go with --league, which plays one case; leave it out")
    if window and (json or output is not None):
        raise ConfigError(f"--{'json' if json else 'output'} goes with a GIF; leave it away together with --window")
    refuse_uri(output, "--output", "the film is written to the folder that you are in")
    number, screen = _number(case), screen_beside(json)
    with located_league(run) as found:
        config = found.run.config
        chosen = None if stage is None else stage_numbers([stage], config, "--stage")[-1]
        told: list[PlayedCase] = []

        def play() -> PlayedCase:
            told.append(play_members(found, members, case=number, seed=seed, stage=chosen))
            return told[0]

        if window:
            with_pygame(lambda: show_case(play()), screen)
            _tell(told[0], screen)
            return 0
        folder = found.run.path if found.uri is None else Path()
        target = output or folder / _film_name(members, number, seed)
        num_frames = write_film(target, lambda: film_case(play(), target), screen)
    if num_frames is None:
        return EXIT_RESUME
    _tell(told[0], screen)
    screen.print(f"written: {path_word(target)} ({num_frames:,} pictures)", soft_wrap=True)
    if json:
        print_json(_document(told[0]) | {"written": [target], "pictures": num_frames})
    return 0


def _number(case: str | None) -> int | None:
    from robonav_ray.config.load import ConfigError

    if case is None:
        return None
    text = case.strip()
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ConfigError(
            f"--case {case}: give the number of a world, from 0; SUITE:SCENARIO:INDEX goes without --league"
        )
    return int(text)


def _film_name(members: list[str], case: int | None, seed: int | None) -> str:
    names = [re.sub(r"[^A-Za-z0-9_.-]+", "-", member).strip("-.") for member in members or ["newest", "best"]]
    told = (("case", case), ("seed", seed))
    return "-".join(("league", "-".join(names)[:80], *(f"{name}{n}" for name, n in told if n is not None))) + ".gif"


def _tell(played: PlayedCase, screen: Screen) -> None:
    from robonav_ray.text import visible

    parts = [f"{id_} {good} of {num}" for id_, (good, num) in played.arrived().items()]
    seconds = (len(played.scenes) - 1) * played.dt_s
    screen.print(visible(f"{played.title}, {seconds:.1f} s: arrived {', '.join(parts)}"), soft_wrap=True)


def _document(played: PlayedCase) -> dict[str, object]:
    return {
        "case": played.case,
        "seconds": (len(played.scenes) - 1) * played.dt_s,
        "solved": bool(played.table.solved[0]),
        "members": [{"id": id_, "arrived": good, "robots": num} for id_, (good, num) in played.arrived().items()],
    }
