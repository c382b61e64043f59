"""``robonav track``: bring a run that has ended to MLflow or W&B."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robonav_ray.verbs.as_json import Json, print_json, screen_beside

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n`robonav track runs/curriculum-20261122-181500 --to mlflow,wandb`\n\n"
    "`robonav track runs/curriculum-20261122-181500 --to mlflow tracking.mlflow.experiment=paper`"
)
def track(
    run: Annotated[str, typer.Argument(help="Directory of a run that no process is training.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="[tracking.key=value ...]", help="Settings of the trackers, for this call."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(help="Trackers: `mlflow`, `wandb` or both, with a comma (default: those on in the run's config)."),
    ] = None,
    json: Json = False,
) -> None:
    """Bring a run's figures, pictures and checkpoint to trackers, as far as they have not got them; twice changes
    nothing.
    """
    from dataclasses import asdict

    from robonav_ray.fronts.tracking.track_call import track as bring
    from robonav_ray.runs.located import refuse_uri

    refuse_uri(Path(run), "RUN", "copy the run to this machine first")
    sent = bring(run, [] if to is None else [word.strip() for word in to.split(",")], overrides or ())
    screen = screen_beside(json)
    for one in sent:
        screen.print(f"{one.backend}: {one.points} points and {one.files} files were new there", markup=False)
        if one.address:
            screen.print(f"  {one.address}", markup=False)
    if json:
        print_json({"sent": [asdict(one) for one in sent]})
