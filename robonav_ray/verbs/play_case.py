"""``robonav play --case SUITE:SCENARIO:INDEX ENTRANT...``: one episode of an exam, bit for bit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robonav_ray.errors import EXIT_RESUME

if TYPE_CHECKING:
    from robonav_ray.runtime.examination.cases import Case, Replayed
    from robonav_ray.screen import Screen


def play_case(
    text: str,
    whos: list[str],
    output: Path | None,
    window: bool,
    exam: Path | None,
    seed: int | None,
    trust: bool,
    ignored: list[str],
    json: bool = False,
) -> int:
    """Play the case with each entrant, say how it ended, and film it, or show it in a window; return the exit code.

    ``ignored`` are options that were given and have no meaning here: UserError names the first.
    """
    from robonav_ray.config.load import ConfigError
    from robonav_ray.fronts.foreign_policies import load_foreign
    from robonav_ray.runtime.examination.cases import HOW, Case, replay_cases
    from robonav_ray.runtime.examination.compiling import said_on
    from robonav_ray.runtime.signals import stop_on_signals
    from robonav_ray.runtime.watching import EvaluationStopped, stopped_at_once
    from robonav_ray.verbs.as_json import print_json, screen_beside

    if ignored:
        raise ConfigError(f"{ignored[0]} does not go with --case, which is one episode of a suite; leave it out")
    if not whos:
        raise ConfigError(f"--case {text}: name who plays it too: `robonav play --case {HOW.split(',')[0]} ENTRANT`")
    if window and json:
        raise ConfigError("--json goes with a GIF; leave it away together with --window")
    if window and output is not None:
        raise ConfigError("--output goes with a GIF; leave it away together with --window")
    case, screen = Case.parse(text), screen_beside(json)
    targets = [] if window else _targets(case, whos, output)
    with stop_on_signals(needs_reader=False) as stop:
        try:
            with stopped_at_once(stop):
                with said_on(screen):
                    found = replay_cases(
                        case, whos, foreign=lambda path, name, _: load_foreign(path, name, trust), exam=exam, seed=seed
                    )
                told = [_tell(one, screen) for one in found]
                if window:
                    _show(found, screen)
                    return 0
                for one, document, target in zip(found, told, targets, strict=True):
                    document |= {"written": [target], "pictures": _film(one, target, screen)}
        except EvaluationStopped:
            screen.print("the film was stopped, and nothing of it is written")
            return EXIT_RESUME
    if json:
        print_json(told[0] if len(told) == 1 else {"cases": told})
    return 0


def _targets(case: Case, whos: list[str], output: Path | None) -> list[Path]:
    """Return the films to write, one for each entrant; UserError when one of them cannot be."""
    from robonav_ray.config.load import ConfigError
    from robonav_ray.files.plain_files import check_replaceable
    from robonav_ray.runs.located import refuse_unwritable

    if output is not None and len(whos) > 1:
        raise ConfigError(f"--output {output}: is one film, and {len(whos)} entrants have one each; leave it out")
    suite = Path(case.suite).stem
    names = [f"{suite}-{case.scenario}-{case.index}-{Path(who).name}" for who in whos]
    plain = [re.sub(r"[^A-Za-z0-9_.-]+", "-", name) for name in names]
    is_each_one_own = len(set(plain)) == len(plain)
    numbered = plain if is_each_one_own else [f"{name}-{k + 1}" for k, name in enumerate(plain)]
    targets = [output] if output is not None else [Path(f"case-{name}.gif") for name in numbered]
    for target in targets:
        refuse_unwritable(target.parent, "--output")
        check_replaceable(target)
        if target.is_symlink():
            raise ConfigError(f"--output {target}: is a link; name the file itself")
    return targets


def _tell(found: Replayed, screen: Screen) -> dict[str, Any]:
    """Print how it ended, and return it for programs."""
    from robonav_ray.evaluation.failures.rows import kind_text
    from robonav_ray.records import Outcome

    outcome, num_steps, path_length_m = found.ending
    ended, arrived = "success" if outcome == Outcome.SUCCESS else kind_text(outcome), _arrived(found)
    seconds = num_steps * found.dt_s
    told = [f"; arrived {', '.join(f'{name} {good} of {num}' for name, (good, num) in arrived.items())}"] * bool(
        arrived
    )
    screen.print(
        f"{found.case} by {found.entrant}: {ended} after {num_steps} steps ({seconds:.1f} s), "
        f"{path_length_m:.2f} m driven{''.join(told)}" + (", as in the exam" if found.is_as_told else "")
    )
    players = [{"name": name, "arrived": good, "robots": num} for name, (good, num) in arrived.items()]
    return {
        "case": str(found.case),
        "entrant": found.entrant,
        "ended": ended,
        "steps": num_steps,
        "seconds": seconds,
        "path_length_m": float(path_length_m),
        "as_in_exam": found.is_as_told,
        **({"players": players} if players else {}),
    }


def _arrived(found: Replayed) -> dict[str, tuple[int, int]]:
    """Return by player how many of its robots arrived, and how many it had; of a case that robots share."""
    from robonav_ray.evaluation.played_case import PlayedCase

    return found.seen.arrived() if isinstance(found.seen, PlayedCase) else {}


def _title(found: Replayed) -> str:
    return f"{found.case.scenario} {found.case.index}, {found.entrant}"


def _film(found: Replayed, target: Path, screen: Screen) -> int:
    from robonav_ray.evaluation.failures.films import film_recording
    from robonav_ray.evaluation.played_case import PlayedCase, film_case

    seen = found.seen
    num_frames = (
        film_case(seen, target) if isinstance(seen, PlayedCase) else film_recording(target, seen, _title(found))
    )
    screen.print(f"written: {target} ({num_frames:,} pictures)", soft_wrap=True)
    return num_frames


def _show(found: list[Replayed], screen: Screen) -> None:
    """Show one after the other; the window is closed after each."""
    from robonav_ray.evaluation.failures.films import show_recording
    from robonav_ray.evaluation.played_case import PlayedCase, show_case
    from robonav_ray.verbs.play_planner import with_pygame

    def show(one: Replayed) -> None:
        if isinstance(one.seen, PlayedCase):
            show_case(one.seen)
        else:
            show_recording(one.seen, _title(one))

    for one in found:
        with_pygame(lambda one=one: show(one), screen)
