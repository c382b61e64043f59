"""``robonav export``: a run as a bundle that a robot drives with; and whether a bundle is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robonav_ray.verbs.arguments import WhichCheckpoint, which_checkpoint
from robonav_ray.verbs.as_json import Json, print_json, screen_beside

app = typer.Typer()


@app.command(
    epilog="Examples:\n\n`robonav export runs/curriculum-20261122-181500 --out bundle`\n\n"
    "`robonav export robot_nav@champion --out bundle --format onnx,numpy`\n\n`robonav export --verify bundle`"
)
def export(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|NAME@ALIAS]",
            help="A run directory or one of its checkpoints, the URI of either, or a model by name (`NAME@champion`).",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of the bundle (default: bundles/CHECKPOINT in the run; a version carries it)."
        ),
    ] = None,
    formats: Annotated[
        str, typer.Option("--format", metavar="onnx,pt2,numpy", help="How the network is written; several with commas.")
    ] = "onnx",
    checkpoint: WhichCheckpoint = None,
    verify: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Look at a bundle instead: exit code 2 when it is not whole.")
    ] = None,
    json: Json = False,
) -> None:
    """Write the policy of a run as a bundle: network, spec, hashes, and the small package that drives a robot with it.

    Hashes say that a bundle is whole, not who made it.
    """
    from robonav_ray.errors import UserError

    if (run is None) == (verify is None):
        raise UserError("name a run to export, or a bundle with --verify DIR; one of the two")
    if verify is not None:
        if out is not None or checkpoint is not None or formats != "onnx":
            raise UserError("--verify looks at a bundle: leave --out, --format and --checkpoint away")
        _verify(verify, json)
        return
    assert run is not None
    _export(run, out, formats, checkpoint, json)


def _export(run: str, out: Path | None, formats: str, checkpoint: str | None, json: bool) -> None:
    from robonav_ray.deploy.export import export as export_run
    from robonav_ray.registry.names import location_word
    from robonav_ray.screen import print_commands
    from robonav_ray.text import bytes_text, command_text

    made = export_run(run, out=out, format=formats, checkpoint=which_checkpoint(checkpoint))
    if json:
        facts = {"folder": made.location, "sha256": made.sha256, "bytes": made.num_bytes, "files": dict(made.files)}
        print_json({**facts, "is_new": made.is_new})
        return
    screen, place = screen_beside(False), location_word(made.location)
    if made.is_new:
        screen.print(f"written: {place} ({len(made.files)} files, {bytes_text(made.num_bytes)})")
    else:
        screen.print(f"{place} holds this very bundle already; nothing was written")
    print_commands([(command_text("robonav", "export", "--verify", place), "hold it against its hashes")], screen)


def _verify(folder: Path, json: bool) -> None:
    from robonav_policy.bundle import to_dict
    from robonav_ray.deploy.checking import verify_bundle
    from robonav_ray.text import path_word

    found = verify_bundle(folder)
    if json:
        print_json({**to_dict(found.bundle), "checked": list(found.checked)})
        return
    screen = screen_beside(False)
    screen.print(f"{path_word(folder)}: whole; {'; '.join(found.checked)}")
    screen.print("hashes say that it is whole, not who made it", style="dim")
