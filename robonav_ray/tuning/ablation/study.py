"""An ablation from its config to its table: found or begun, worked off here or side by side on Ray, written down.

::

    runs/ablation/
      ablation.yaml        the resolved config; the same command goes on with it
      sessions.json        who worked on it, with which versions
      results.jsonl        one line per training that was judged
      runs/dueling-0/ ...  a run directory each
      ablation.json  ablation.md  ablation.png      of the results so far
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from robonav_ray.config.load import ConfigError, dump_config, dump_new, load_section_file
from robonav_ray.config.runtime import RuntimeConfig
from robonav_ray.config.studies.ablation import AblationConfig
from robonav_ray.errors import UserError
from robonav_ray.evaluation.ablation.picture import PICTURE, draw_losses
from robonav_ray.evaluation.ablation.table import ABLATION_JSON, AblationTable, to_json, to_markdown
from robonav_ray.files.plain_files import check_entries, is_plain, replace
from robonav_ray.runs.faults import sentence_of
from robonav_ray.runs.located import refuse_unwritable, refuse_uri
from robonav_ray.runs.run_directory import RunDirectory, RunDirectoryError
from robonav_ray.runs.session_facts import command_line, session_facts
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.screen import Screen
from robonav_ray.tuning.ablation.arms import Plan, plan_ablation
from robonav_ray.tuning.ablation.cells import RUNS, CellOrder, work_off
from robonav_ray.tuning.ablation.results import RESULTS_FILE, CellResult, append_result, read_results
from robonav_ray.tuning.ablation.table import make_table

logger = logging.getLogger(__name__)
CONFIG_FILE, SESSIONS_FILE = "ablation.yaml", "sessions.json"
JSON_FILE, MARKDOWN_FILE = ABLATION_JSON, "ablation.md"
_FILES = frozenset((CONFIG_FILE, SESSIONS_FILE, RESULTS_FILE, JSON_FILE, MARKDOWN_FILE, PICTURE, ".lock", ".stop"))
Came = tuple[CellOrder, CellResult | Exception | None]


@dataclass(frozen=True)
class Study:
    """The result of a session of an ablation."""

    folder: Path
    table: AblationTable
    is_interrupted: bool
    """Whether it was stopped before the end; the same command goes on."""
    failures: tuple[str, ...]
    """Trainings that failed, with the reason."""

    @property
    def shown(self) -> str:
        """The directory as a person would type it here."""
        return RunDirectory(self.folder).shown


def run_ablation(
    config: AblationConfig, directory: Path | None, *, local: bool, stop: StopRequest, screen: Screen
) -> Study:
    """Train and judge what is missing in ``directory`` (None: ``output_dir/NAME``), and write the table.

    Raises:
        UserError: For what is wrong in the config, before anything is made; or when the directory holds another
            ablation.
    """
    plan = plan_ablation(config)
    folder = (directory or Path(config.output_dir) / config.name).absolute()
    _refuse_foreign(folder, config)
    written = dump_config(config) if (folder / CONFIG_FILE).exists() else dump_new(config)
    folder.mkdir(parents=True, exist_ok=True)
    run = RunDirectory(folder)
    with run.locked():
        replace(folder / CONFIG_FILE, written)
        _add_session(run)
        results = read_results(folder, (cell.key for cell in plan.cells))
        orders = [CellOrder(cell, folder, tuple(command_line())) for cell in plan.cells if cell.key not in results]
        told = f"  {len(plan.arms)} methods, {len(config.seeds)} seeds, {config.budget.env_steps:,} env steps each"
        known = f"; {len(results)} of {len(plan.cells)} trainings are known" if results else ""
        screen.print(Text.assemble((run.shown, "bold"), told + known))
        failures = list[str]()
        num_waiting = len(orders)
        with _workers(orders, config, local, stop, screen) as came_in:
            for order, came in came_in:
                if isinstance(came, CellResult):
                    append_result(folder, came)
                    results[came.key] = came
                    num_waiting -= 1
                    _write(folder, config, plan, results)
                    screen.print(_line(came, len(plan.cells) - num_waiting, len(plan.cells)))
                elif came is not None:
                    failures.append(f"{order.cell.name}: {sentence_of(came)}")
                    screen.print(f"failed: {failures[-1]}", markup=False)
        table = _write(folder, config, plan, results)
        draw_losses(table, folder / PICTURE)
        return Study(folder, table, bool(stop) and num_waiting > len(failures), tuple(failures))


def _refuse_foreign(folder: Path, config: AblationConfig) -> None:
    """Raise UserError where ``folder`` holds something else than this ablation."""
    refuse_uri(folder, "--out", "an ablation lies in a folder")
    refuse_unwritable(folder, "--out")
    if not folder.exists():
        return
    check_entries(folder, _FILES, frozenset((RUNS,)))
    if not is_plain(folder / CONFIG_FILE):
        if any(folder.iterdir()):
            raise RunDirectoryError(f"--out {folder}: holds something else than an ablation; name another folder")
        return
    before = load_section_file(AblationConfig, folder / CONFIG_FILE, (), "ablation")
    free = {"output_dir", "resources"}
    differing = [
        name
        for name in type(config).model_fields
        if name not in free and getattr(before, name) != getattr(config, name)
    ]
    if differing:
        raise ConfigError(
            f"{folder / CONFIG_FILE}: the ablation there has another {', '.join(differing)} than asked for now; leave "
            "it as it was to go on, or begin a new one with --out or another name"
        )


def _add_session(run: RunDirectory) -> None:
    facts = run.read_json(SESSIONS_FILE)
    facts.setdefault("sessions", []).append(session_facts(list(command_line())))
    run.write_json(SESSIONS_FILE, facts)


@contextlib.contextmanager
def _workers(
    orders: Sequence[CellOrder], config: AblationConfig, local: bool, stop: StopRequest, screen: Screen
) -> Iterator[Iterator[Came]]:
    """Give each outcome as it comes in, from this process or from Ray; a Ray that was started for it is ended."""
    if local or not orders:
        yield _one_by_one(orders, stop)
        return
    from robonav_ray.nodes.connection import connected

    with connected(_runtime(orders)) as cluster:
        from robonav_ray.tuning.ablation.side_by_side_remote import side_by_side, slots

        num_slots = slots(config.resources, cluster)
        screen.print(f"{cluster.describe()}; {min(num_slots, len(orders))} trainings at once")
        yield side_by_side(orders, config.resources, num_slots, stop)


def _runtime(orders: Sequence[CellOrder]) -> RuntimeConfig:
    return orders[0].cell.config.runtime


def _one_by_one(orders: Sequence[CellOrder], stop: StopRequest) -> Iterator[Came]:
    for order in orders:
        if stop:
            return
        try:
            yield order, work_off(order, stop)
        except UserError:
            raise
        except Exception as error:  # noqa: BLE001  one training that fails is told, and the others go on
            yield order, error


def _write(folder: Path, config: AblationConfig, plan: Plan, results: dict[str, CellResult]) -> AblationTable:
    """Write the table of the results so far, as JSON and Markdown."""
    table = make_table(config, plan, results)
    sessions = RunDirectory(folder).read_json(SESSIONS_FILE).get("sessions", [])
    replace(folder / JSON_FILE, to_json(table, sessions[-1] if sessions else {}))
    replace(folder / MARKDOWN_FILE, to_markdown(table))
    return table


def _line(result: CellResult, number: int, total: int) -> str:
    score = f"return {result.return_mean:.4g}" if result.success_frac is None else f"success {result.success_frac:.1%}"
    return (
        f"{number} of {total}: {result.arm}, seed {result.seed}: {score} after {result.env_steps:,} env steps, "
        f"{result.train_s:.0f} s of training"
    )
