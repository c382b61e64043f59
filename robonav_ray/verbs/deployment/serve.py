"""``robonav serve``: a policy over HTTP, for fleets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

GRACE_S = 60.0
"""Seconds after a signal within which the server has ended."""


@app.command(
    epilog="Examples:\n\n`(umask 077; openssl rand -hex 32 > serve.token)`\n\n"
    "`robonav serve robot_nav@champion --token-file serve.token`\n\n"
    "`robonav serve robot_nav@champion --split fleet/may --port 8080`\n\n"
    '`curl -H "Authorization: Bearer $(cat serve.token)" -d \'{"obs": [[...]]}\' http://127.0.0.1:8000/act`'
)
def serve(
    what: Annotated[
        str,
        typer.Argument(metavar="NAME@ALIAS|RUN|BUNDLE", help="A model by name, as it stands now; a run; a bundle."),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen at; anything but loopback is open to the network, in plain HTTP.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File (mode 0600) with the token that requests bear (default: ROBONAV_SERVE_TOKEN)."),
    ] = None,
    split: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of `robonav fleet begin`: its challenger drives its share."),
    ] = None,
    replicas: Annotated[int, typer.Option(help="Processes that answer.")] = 1,
) -> None:
    """Serve a policy on Ray Serve: `/act`, `/health` and `/metrics`, each with a bearer token.

    For fleets and batches; a robot's own control loop takes the bundle itself (docs/deploy.md). Ctrl-C, or SIGTERM,
    ends it, with the Ray that it has started.
    """
    from robonav_ray.deploy.serving import serve as serving
    from robonav_ray.runtime.signals import stop_on_signals
    from robonav_ray.verbs.as_json import screen_beside

    screen = screen_beside(False)
    with stop_on_signals(GRACE_S, needs_reader=False) as request:
        with serving(what, host=host, port=port, token_file=token_file, split=split, replicas=replicas) as server:
            for arm, name in server.policies.items():
                screen.print(f"{arm}: {name}")
            screen.print(f"serving at {server.url}: POST /act, GET /health, GET /metrics; Ctrl-C ends it")
            server.wait(lambda: bool(request))
        screen.print(f"ended ({request.why})")
