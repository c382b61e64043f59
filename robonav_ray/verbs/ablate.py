"""``robonav ablate``: what each part of the method is worth, by training without it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robonav_ray.errors import EXIT_FAILED
from robonav_ray.verbs.arguments import split_arguments
from robonav_ray.verbs.as_json import Json, print_json, screen_beside

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n`robonav ablate configs/evaluation/ablation.yaml`\n\n"
    "`robonav ablate ablation seeds=[0,1,2,3,4] budget.env_steps=1_000_000 --out runs/long-ablation`"
)
def ablate(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONFIG.yaml [section.key=value ...]",
            help="An ablation's YAML file, or the name of a shipped one (`ablation`), then overrides: "
            "`budget.env_steps=100_000`, `run.algo.hidden_dims=[64, 64]`.",
        ),
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="One training after the other, without Ray.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Its directory (default: output_dir/NAME). What is there of this ablation is gone on with."),
    ] = None,
    json: Json = False,
) -> None:
    """Train without one part of the method at a time, over seeds, and say what each is worth; the same command
    goes on.
    """
    from robonav_ray.config.load import ConfigError, load_section_file
    from robonav_ray.config.studies.ablation import AblationConfig
    from robonav_ray.evaluation.ablation.table import print_table
    from robonav_ray.runtime.signals import stop_on_signals
    from robonav_ray.screen import show_warnings
    from robonav_ray.tuning.ablation.study import JSON_FILE, run_ablation

    path, overrides = split_arguments(arguments)
    if path is None:
        raise ConfigError("name an ablation's config, for instance `robonav ablate configs/evaluation/ablation.yaml`")
    config = load_section_file(AblationConfig, path, overrides, "ablation")
    screen = screen_beside(json)
    show_warnings()
    with stop_on_signals(in_session=True) as stop:
        study = run_ablation(config, out, local=local, stop=stop, screen=screen)
    if json:
        from robonav_ray.files.plain_files import read_json

        print_json(read_json(study.folder / JSON_FILE))
    else:
        print_table(study.table, screen)
    screen.print(f"written: {study.shown} (ablation.md, ablation.json, ablation.png, results.jsonl)", soft_wrap=True)
    if study.is_interrupted:
        screen.print("stopped before the end; the same command goes on")
        raise typer.Exit(stop.resume_code)
    if study.failures:
        raise typer.Exit(EXIT_FAILED)
