"""``robonav_ray.ablate``: what ``robonav ablate`` does, as a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from robonav_ray.config.load import checked_config, load_section_file
from robonav_ray.config.studies.ablation import AblationConfig
from robonav_ray.evaluation.ablation.table import AblationTable, Row
from robonav_ray.fronts.call_config import Overrides, override_texts
from robonav_ray.runtime.signals import stop_on_interrupt
from robonav_ray.screen import plain_screen
from robonav_ray.tuning.ablation.study import run_ablation

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class AblationResult:
    """The result of an ablation."""

    path: Path
    """Its directory, with ``ablation.md``, ``ablation.json`` and ``ablation.png``."""
    status: Literal["finished", "unfinished"]
    """``unfinished``: stopped before the end, or some trainings failed; the same call goes on."""
    table: AblationTable
    """As in ``ablation.json``."""
    failures: tuple[str, ...]
    """Trainings that failed, with the reason."""

    def __getitem__(self, switch: str) -> Row:
        """Return the row of a switch; KeyError where there is none."""
        for row in self.table.rows:
            if row.switch == switch:
                return row
        raise KeyError(switch)

    def rows(self) -> pandas.DataFrame:
        """Return one row for each switch, the whole method first."""
        import pandas

        return pandas.DataFrame([{**vars(row), "verdict": row.verdict} for row in self.table.rows])


def ablate(
    config: str | Path | Mapping[str, Any] | AblationConfig,
    overrides: Overrides | None = None,
    *,
    local: bool = False,
    out: str | Path | None = None,
    quiet: bool = False,
) -> AblationResult:
    """Train without one part of a method at a time, over seeds, and say what each is worth, as ``robonav ablate`` does.

    ::

        found = robonav_ray.ablate("ablation", {"seeds": [0, 1], "budget.env_steps": 100_000})
        found["dueling"].difference          # success without it minus with it, with .difference_low and _high
        found.rows()

    The same call goes on where it was stopped; what has been trained and judged is not done again.

    Args:
        config: A YAML file, the name of a shipped one (``ablation``), a mapping, or an ``AblationConfig``.
        overrides: Values by dotted key on top.
        local: One training after the other in this process, without Ray.
        out: Its directory; None takes ``output_dir/NAME``.
        quiet: Say nothing.

    Raises:
        UserError: For what is wrong in the arguments or the config, before anything is made; or when the directory
            holds another ablation.
        KeyboardInterrupt: After a second Ctrl-C; the first stops it, and the call returns what there is.
    """
    words = override_texts(overrides)
    if isinstance(config, AblationConfig | Mapping):
        data = config.model_dump(mode="json") if isinstance(config, AblationConfig) else dict(config)
        checked = checked_config(AblationConfig, data, words, "config")
    else:
        checked = load_section_file(AblationConfig, Path(config), words, "ablation")
    with stop_on_interrupt(in_session=True) as stop:
        study = run_ablation(
            checked, None if out is None else Path(out), local=local, stop=stop, screen=plain_screen(silent=quiet)
        )
    status = "unfinished" if study.is_interrupted or study.failures else "finished"
    return AblationResult(study.folder, status, study.table, study.failures)
