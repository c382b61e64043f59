"""Some episodes that a trained policy drives in worlds it has never seen: one by one in a table, and as a film."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robonav_ray.errors import UserError
from robonav_ray.evaluation.episodes import EpisodeTable
from robonav_ray.files.plain_files import replace
from robonav_ray.records import Outcome
from robonav_ray.report.document import Scalar, Table, to_csv
from robonav_ray.runs.located import located
from robonav_ray.runs.policies import load_policy
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.filming import draw_gif
from robonav_ray.runtime.judge import Exam
from robonav_ray.runtime.judging.held_out import judge_stage

if TYPE_CHECKING:
    import pandas

FILM_FILE = "driven.gif"
_COLUMNS = ("episode", "world", "outcome", "success", "task_return", "steps", "time_s", "goals", "min_clearance_m")


@dataclass(frozen=True)
class DrivenEpisodes:
    """Episodes of the last stage, and a film of some more."""

    rows: tuple[Mapping[str, Scalar], ...] = field(repr=False)
    """One for each episode, in order."""
    film: Path | None
    """A GIF; None where the environment draws nothing, or no film was asked for."""

    @property
    def num_successes(self) -> int:
        """Episodes that reached all goals."""
        return sum(row["success"] == 1 for row in self.rows)

    def table(self) -> pandas.DataFrame:
        """Return one row for each episode; times in s, lengths in m."""
        import pandas

        return pandas.DataFrame(self.rows, columns=list(_COLUMNS)).set_index("episode")

    def _repr_html_(self) -> str:
        told = f"<p><b>{self.num_successes} of {len(self.rows)}</b> reached all goals</p>"
        return told + self.table().to_html(border=0, na_rep="-")

    def write_csv(self, path: Path) -> Path:
        """Write the table as a file for a submission (aside, then renamed); return ``path``."""
        kept = Table("episodes", "Episodes", _COLUMNS, (), "l" * len(_COLUMNS), self.rows)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, to_csv(kept))
        return path

    def show_film(self) -> Any:
        """Return the film for the output of a cell; None where there is none."""
        if self.film is None:
            return None
        from IPython.display import Image  # type: ignore[import-not-found]  # the kernel runs in it

        return Image(filename=str(self.film))


def drive_episodes(run: str | Path, episodes: int = 10, *, films: int = 2) -> DrivenEpisodes:
    """Have the policy of ``run`` drive ``episodes`` greedy episodes in held-out worlds of the last stage, and film
    ``films`` more.

    The best policy of the run is taken where it was judged while it trained, else the newest. The film is
    ``RUN/driven.gif``.

    Raises:
        UserError: For what is no run, holds no whole checkpoint, or numbers below 1 (films: below 0).
        EnvironmentFailedError: When an environment that is not ours fails.
    """
    if episodes < 1 or films < 0:
        raise UserError(f"episodes ({episodes}) must be at least 1, and films ({films}) at least 0")
    with located(str(run)) as found:
        config = Exam(episodes=episodes).config_of(found.run)
        task = describe_task(config)
        policy, stage = load_policy(found.checkpoint, config, task), len(task.levels) - 1
        table = judge_stage(policy, config, task, stage)
        film = found.run.notes / FILM_FILE if films and task.draws else None
        if film is not None:
            draw_gif(film, policy, config, task, stage=stage, num_episodes=films)
    return DrivenEpisodes(tuple(_row(table, i) for i in range(table.num_episodes)), film)


def _row(table: EpisodeTable, i: int) -> Mapping[str, Scalar]:
    outcome, step_s = Outcome(int(table.outcome[i])), table.step_s
    return {
        "episode": i + 1,
        "world": int(table.world[i]),
        "outcome": outcome.name.lower().replace("_", " "),
        "success": int(outcome is Outcome.SUCCESS),
        "task_return": round(float(table.task_return[i]), 3),
        "steps": int(table.length[i]),
        "time_s": None if step_s is None else round(float(table.length[i]) * step_s, 2),
        "goals": float(table.goals_reached[i]),
        "min_clearance_m": round(float(table.min_clearance_m[i]), 3),
    }
