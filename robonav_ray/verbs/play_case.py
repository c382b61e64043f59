"""``robonav play --case SUITE:SCENARIO:INDEX ENTRANT``: one episode of an exam, bit for bit."""

from __future__ import annotations

import re
from pathlib import Path

from robonav_ray.errors import EXIT_RESUME


def play_case(
    text: str,
    who: str | None,
    output: Path | None,
    exam: Path | None,
    seed: int | None,
    trust: bool,
    ignored: list[str],
    json: bool = False,
) -> int:
    """Play the case, say how it ended, and film it; return the exit code.

    ``ignored`` are options that were given and have no meaning here: UserError names the first.
    """
    from robonav_ray.config.load import ConfigError
    from robonav_ray.evaluation.failures.films import film_recording
    from robonav_ray.files.plain_files import check_replaceable
    from robonav_ray.fronts.foreign_policies import load_foreign
    from robonav_ray.records import Outcome
    from robonav_ray.runs.located import refuse_unwritable
    from robonav_ray.runtime.examination.cases import HOW, Case, replay_case
    from robonav_ray.runtime.signals import stop_on_signals
    from robonav_ray.runtime.watching import EvaluationStopped, stopped_at_once
    from robonav_ray.verbs.as_json import print_json, screen_beside

    if ignored:
        raise ConfigError(f"{ignored[0]} does not go with --case, which is one episode of a suite; leave it out")
    if who is None:
        raise ConfigError(f"--case {text}: name who plays it too: `robonav play --case {HOW.split(',')[0]} ENTRANT`")
    case, screen = Case.parse(text), screen_beside(json)
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{Path(case.suite).stem}-{case.scenario}-{case.index}-{Path(who).name}")
    target = output or Path(f"case-{plain}.gif")
    refuse_unwritable(target.parent, "--output")
    check_replaceable(target)
    if target.is_symlink():
        raise ConfigError(f"--output {target}: is a link; name the file itself")
    with stop_on_signals(needs_reader=False) as stop:
        try:
            with stopped_at_once(stop):
                found = replay_case(
                    case, who, foreign=lambda path, name, _: load_foreign(path, name, trust), exam=exam, seed=seed
                )
                recording = found.recording
                ended = "success" if recording.outcome == Outcome.SUCCESS else _failed(recording.outcome)
                screen.print(
                    f"{case} by {found.entrant}: {ended} after {recording.num_steps} steps "
                    f"({recording.num_steps * recording.dt_s:.1f} s), {recording.path_length_m:.2f} m driven"
                    + (", as in the exam" if found.is_as_told else "")
                )
                num_frames = film_recording(target, recording, f"{case.scenario} {case.index}, {found.entrant}")
        except EvaluationStopped:
            screen.print("the film was stopped, and nothing is written")
            return EXIT_RESUME
    screen.print(f"written: {target} ({num_frames:,} pictures)", soft_wrap=True)
    if json:
        print_json(
            {
                "case": str(case),
                "entrant": found.entrant,
                "ended": ended,
                "steps": recording.num_steps,
                "seconds": recording.num_steps * recording.dt_s,
                "path_length_m": float(recording.path_length_m),
                "as_in_exam": found.is_as_told,
                "written": [target],
                "pictures": num_frames,
            }
        )
    return 0


def _failed(outcome: int) -> str:
    from robonav_ray.evaluation.failures.rows import kind_text

    return kind_text(outcome)
