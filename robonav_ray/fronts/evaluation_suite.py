"""``robonav_ray.EvaluationSuite``: an exam inside a program of one's own, with functions among the entrants."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robonav_ray.config.evaluation_suite import Scenario, Suite
from robonav_ray.config.load import ConfigError, check_section
from robonav_ray.evaluation.exam_report.files import report_exam
from robonav_ray.evaluation.exam_table import ExamTable
from robonav_ray.fronts.compare_call import compare

Act = Callable[[Any], Any]


@dataclass(frozen=True)
class Results:
    """The results of ``EvaluationSuite.run``."""

    table: ExamTable
    """One row for each entrant, scenario and world."""

    def success(self) -> dict[str, dict[str, float]]:
        """Return the part of episodes that succeeded, by entrant and scenario, of the scenarios that each can play."""
        return {
            entrant.name: {
                scenario: float((self.table.cell(e, s).outcome == 1).mean())
                for s, scenario in enumerate(self.table.scenario_names)
                if (e, s) not in self.table.missing
            }
            for e, entrant in enumerate(self.table.entrants)
        }

    def report(self, out: str | Path) -> list[Path]:
        """Write the exam and its report (PDF, HTML, JSON, CSV) into ``out``, made if missing; return the paths.

        Raises:
            UserError: When ``out`` cannot be written.
        """
        folder = Path(out)
        self.table.save(folder)
        return list(report_exam(folder, None, lambda *_: None))


class EvaluationSuite:
    """Scenarios that entrants play, all on the same worlds.

    ::

        suite = robonav_ray.EvaluationSuite(scenarios="standard", episodes=200)
        results = suite.run({"mine": act, "dwa": "dwa", "run": "runs/curriculum-20261122-181500"})
        results.success()["mine"]["full_challenge"]
        results.report("out")
    """

    def __init__(
        self,
        scenarios: str | Path | Suite | Sequence[str | Path | Suite | Scenario | Mapping[str, Any]] = "quick",
        *,
        episodes: int | None = None,
        seed: int | None = None,
    ) -> None:
        """Take suites by name or file, or scenarios.

        Args:
            scenarios: A suite by name, as a YAML file or as an object; or a list of such and of scenarios, each a
                ``Scenario`` or a mapping of its keys.
            episodes: Of each scenario, at least 50; None takes what the scenarios say.
            seed: Of the worlds; None takes what the scenarios say.

        Raises:
            UserError: For a scenario that cannot be.
        """
        given = [scenarios] if isinstance(scenarios, str | Path | Suite) else list(scenarios)
        own = [one for one in given if not isinstance(one, str | Path | Suite)]
        self._suites: list[str | Path | Suite] = [one for one in given if isinstance(one, str | Path | Suite)]
        if own:
            keys = [_keys_of(one, i) for i, one in enumerate(own)]
            self._suites.append(check_section(Suite, {"name": "own", "scenarios": keys}, "scenarios"))
        if not self._suites:
            raise ConfigError("scenarios: there is none; give a suite by name, or scenarios")
        self._episodes, self._seed = episodes, seed

    def run(
        self,
        entrants: Mapping[str, str | Path | Act],
        *,
        partners: Sequence[str] = (),
        out: str | Path | None = None,
        trust: bool = False,
        address: str | None = None,
        quiet: bool = False,
    ) -> Results:
        """Have every entrant play every scenario.

        Args:
            entrants: By name: a run, a checkpoint, a planner, ``module:function``, or a function
                obs (N, D) float32 -> actions (N,) whole numbers.
            partners: Beside whom each plays every scenario, as ``compare`` takes them.
            out: Folder in which finished cells are kept, those of functions apart, so that the same call goes on after
                an interruption; None keeps nothing.
            trust: Open policies of other libraries, which runs code that is in their files.
            address: Ray cluster to play on; None takes the one that the program has joined, if any.
            quiet: Say nothing of how far it is.

        Raises:
            UserError: For an entrant that is none, fits no scenario or fails.
            KeyboardInterrupt: After Ctrl-C.
        """
        with tempfile.TemporaryDirectory(prefix="robonav-exam-") as aside:
            table = compare(
                entrants,
                suite=self._suites,
                partners=partners,
                out=aside if out is None else out,
                episodes=self._episodes,
                seed=self._seed,
                trust=trust,
                address=address,
                quiet=quiet,
            )
        return Results(table)


def _keys_of(one: Any, number: int) -> dict[str, Any]:
    if isinstance(one, Scenario):
        return one.model_dump()
    if isinstance(one, Mapping):
        return {str(key): value for key, value in one.items()}
    raise ConfigError(
        f"scenarios.{number}: {type(one).__name__} is no scenario; give a Scenario, or a mapping of its keys"
    )
