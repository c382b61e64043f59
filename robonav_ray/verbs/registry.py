"""``robonav registry``: models by name, their versions, and which of them is the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from robonav_ray.errors import EXIT_FAILED
from robonav_ray.verbs.arguments import Run, WhichCheckpoint, which_checkpoint
from robonav_ray.verbs.as_json import Json, print_json, screen_beside

if TYPE_CHECKING:
    from rich.table import Table

    from robonav_ray.registry.journal import JournalEntry
    from robonav_ray.registry.registry import Registry
    from robonav_ray.registry.versions import Version

MOST_ENTRIES = 10
registry_app = typer.Typer(
    no_args_is_help=True,
    help="Models by name: versions that never change, aliases that move, a journal of every move.",
    epilog="Examples:\n\n`robonav registry add runs/curriculum-20261122-181500 --name robot_nav`\n\n"
    "`robonav registry promote robot_nav@challenger`\n\n`robonav evaluate robot_nav@champion`",
)
Place = Annotated[
    str | None,
    typer.Option(
        "--registry", metavar="DIR|URI", help="Folder or bucket of models (default: ROBONAV_REGISTRY, or runs/models)."
    ),
]
Model = Annotated[str, typer.Argument(metavar="NAME", help="Name of a model.")]
Ref = Annotated[str, typer.Argument(metavar="NAME@REF", help="A version: `NAME@ALIAS` or `NAME@NUMBER`.")]
Reason = Annotated[str, typer.Option(help="Why, for the journal.")]
AliasName = Annotated[str, typer.Option("--alias", help="Alias that moves.")]
Generation = Annotated[
    int | None,
    typer.Option(min=0, help="Move it only if it has moved this often so far (`registry show`); else exit code 2."),
]


@registry_app.command(
    epilog="Examples:\n\n`robonav registry add runs/curriculum-20261122-181500 --name robot_nav`\n\n"
    "`robonav registry add s3://bucket/runs/NAME --name robot_nav --checkpoint last --registry s3://bucket/models`"
)
def add(
    run: Run,
    name: Annotated[str, typer.Option(metavar="NAME", help="Of the model; a new one is made.")],
    checkpoint: WhichCheckpoint = None,
    alias: AliasName = "challenger",
    reason: Reason = "",
    bundle: Annotated[bool, typer.Option("--bundle", help="Export it too: the version carries its bundle.")] = False,
    registry: Place = None,
    json: Json = False,
) -> None:
    """Make a version of a run: config, weights, how it was judged, where it is from. The same policy is no new version.

    The challenger (or another --alias) stands at it then.
    """
    from robonav_ray.screen import print_commands
    from robonav_ray.text import command_text

    models = _open(registry)
    version = models.add(run, name, checkpoint=which_checkpoint(checkpoint), alias=alias, reason=reason)
    if bundle:
        from robonav_ray.deploy.export import export

        export(version.location)
    if json:
        print_json({**version.to_dict(), "aliases": _aliases_of(models, version)})
        return
    screen, facts = screen_beside(False), version.provenance
    screen.print(
        f"{version.ref}: {facts['checkpoint']} of {facts['run']} ({facts['which']}), {facts['env_steps']:,} env steps; "
        f"aliases: {', '.join(_aliases_of(models, version))}"
    )
    screen.print(version.shown, style="dim")
    there = [] if registry is None else ["--registry", registry]
    print_commands(
        [
            (command_text("robonav", "registry", "promote", f"{name}@{alias}", *there), "make it the champion"),
            (command_text("robonav", "registry", "show", name, *there), "versions, aliases, journal"),
        ],
        screen,
    )


@registry_app.command("list", epilog="Examples:\n\n`robonav registry list`\n\n`robonav registry list --json`")
def list_models(registry: Place = None, json: Json = False) -> None:
    """Show all models: how many versions each has, and where its aliases stand."""
    models = _open(registry)
    found = [_model_facts(models, name) for name in models.names()]
    if json:
        print_json(found)
        return
    screen = screen_beside(False, soft_wrap=False)
    if not found:
        screen.print(f"no models in {models.shown}; `robonav registry add RUN --name NAME` adds one", soft_wrap=True)
        return
    table = _table("name", "versions", "champion", "challenger", "others", "changed")
    for facts in found:
        stands = {alias: str(where["version"]) for alias, where in facts["aliases"].items()}
        others = ", ".join(f"{a} {v}" for a, v in stands.items() if a not in ("champion", "challenger"))
        columns = (stands.get("champion", "-"), stands.get("challenger", "-"), others or "-", facts["changed"])
        table.add_row(facts["name"], str(len(facts["versions"])), *columns)
    screen.print(table)


@registry_app.command(
    epilog="Examples:\n\n`robonav registry show robot_nav`\n\n`robonav registry show robot_nav@champion --json`"
)
def show(
    model: Annotated[str, typer.Argument(metavar="NAME[@REF]", help="A model, or one version of it.")],
    registry: Place = None,
    json: Json = False,
) -> None:
    """Show a model with its versions, aliases and newest journal entries, or one version in full."""
    from robonav_ray.registry.names import split_reference

    models = _open(registry)
    if "@" in model:
        _show_version(models, models.version(*split_reference(model)), json)
        return
    versions, journal = models.versions(model), models.journal(model)
    if json:
        entries = [{**entry.to_dict(), "sha256": entry.sha256} for entry in journal]
        print_json(
            {
                **_model_facts(models, model),
                "versions": [version.to_dict() for version in versions],
                "journal": entries,
            }
        )
        return
    screen = screen_beside(False, soft_wrap=False)
    table = _table("version", "aliases", "run", "env steps", "success", "added")
    for version in versions:
        facts = version.provenance
        aliases = ", ".join(f"{a} (gen. {models.aliases(model)[a].generation})" for a in _aliases_of(models, version))
        table.add_row(
            str(version.number),
            aliases or "-",
            facts["run"],
            f"{facts['env_steps']:,}",
            _success(version),
            facts["created"][:10],
        )
    screen.print(table)
    screen.print(f"\nthe newest of {len(journal)} journal entries:", style="dim")
    screen.print(_journal_table(journal[-MOST_ENTRIES:]))


@registry_app.command(
    epilog="Examples:\n\n`robonav registry diff robot_nav@champion robot_nav@challenger`\n\n"
    "`robonav registry diff robot_nav@1 robot_nav@3 --json`"
)
def diff(a: Ref, b: Ref, registry: Place = None, json: Json = False) -> None:
    """Show in what two versions differ: where they are from, packages, config, how they were judged, weights."""
    from robonav_ray.registry.difference import difference
    from robonav_ray.registry.names import split_reference

    models = _open(registry)
    first, second = (models.version(*split_reference(word)) for word in (a, b))
    found = difference(first, second)
    if json:
        print_json({"a": first.ref, "b": second.ref, "differences": [vars(one) for one in found]})
        return
    screen = screen_beside(False, soft_wrap=False)
    if not found:
        screen.print(f"{first.ref} and {second.ref} do not differ")
        return
    table = _table("part", "key", first.ref, second.ref)
    for one in found:
        table.add_row(one.part, one.key, *("-" if value is None else str(value) for value in (one.a, one.b)))
    screen.print(table)


@registry_app.command(
    epilog="Examples:\n\n`robonav registry promote robot_nav@challenger --reason 'won the A/B test'`\n\n"
    "`robonav registry promote robot_nav@3 --alias staging`"
)
def promote(
    version: Ref,
    alias: AliasName = "champion",
    reason: Reason = "",
    generation: Generation = None,
    registry: Place = None,
    json: Json = False,
) -> None:
    """Have the champion (or another --alias) stand at a version, which is held against its hashes first."""
    from robonav_ray.registry.names import split_reference

    models, (name, ref) = _open(registry), split_reference(version)
    entry = models.promote(name, ref, alias=alias, expected_generation=generation, reason=reason)
    _say_move(models, name, alias, entry, json)


@registry_app.command(
    epilog="Examples:\n\n`robonav registry rollback robot_nav --reason 'collides at doors'`\n\n"
    "`robonav registry rollback robot_nav --alias staging`"
)
def rollback(
    name: Model,
    alias: AliasName = "champion",
    reason: Reason = "",
    generation: Generation = None,
    registry: Place = None,
    json: Json = False,
) -> None:
    """Have the champion (or another --alias) stand again where it stood before it moved last."""
    models = _open(registry)
    entry = models.rollback(name, alias=alias, expected_generation=generation, reason=reason)
    _say_move(models, name, alias, entry, json)


@registry_app.command(
    epilog="Examples:\n\n`robonav registry verify`\n\n`robonav registry verify robot_nav --registry s3://bucket/models`"
)
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME ...]", help="Models to look at (default: all).")
    ] = None,
    registry: Place = None,
    json: Json = False,
) -> None:
    """Hold all versions against their hashes, and the journal against itself; exit code 1 when something is damaged."""
    from robonav_ray.registry.verifying import verify as verify_model
    from robonav_ray.screen import say_error

    models = _open(registry)
    found = [verify_model(models, name) for name in names or models.names()]
    if json:
        print_json([vars(one) for one in found])
    screen = screen_beside(json)
    for one in found:
        what = "whole" if not one.problems else f"{len(one.problems)} problem{'s' * (len(one.problems) > 1)}"
        screen.print(f"{one.name}: {one.versions} versions, {one.entries} journal entries: {what}")
    if not found:
        screen.print(f"no models in {models.shown}")
    problems = [problem for one in found for problem in one.problems]
    for problem in problems:
        say_error(problem)
    if problems:
        raise typer.Exit(EXIT_FAILED)


@registry_app.command(
    epilog="Examples:\n\n`robonav registry sync`\n\n`robonav registry sync robot_nav --registry s3://bucket/models`"
)
def sync(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME ...]", help="Models to tell of (default: all).")
    ] = None,
    registry: Place = None,
    json: Json = False,
) -> None:
    """Tell mirrors (MLflow, W&B) of all versions and aliases again, for one that missed a change; exit code 1 when one
    does not take them over.
    """
    models = _open(registry)
    found = {name: models.sync(name) for name in names or models.names()}
    if json:
        print_json({name: [vars(one) for one in told] for name, told in found.items()})
    screen = screen_beside(json)
    for name, told in found.items():
        heard = sorted({one.mirror for one in told if one.mirror is not None})
        failed = sum(one.failure is not None for one in told)
        if not told:
            screen.print(f"{name}: no mirror is on in the configs of its versions (tracking.mlflow, tracking.wandb)")
        else:
            screen.print(
                f"{name}: {len(told) - failed} of {len(told)} calls taken over by {', '.join(heard) or 'none'}"
            )
    if not found:
        screen.print(f"no models in {models.shown}")
    if any(one.failure is not None for told in found.values() for one in told):
        raise typer.Exit(EXIT_FAILED)


def _open(place: str | None) -> Registry:
    from robonav_ray.fronts.models.registry_call import registry
    from robonav_ray.screen import show_warnings

    show_warnings()
    return registry(place)


def _say_move(models: Registry, name: str, alias: str, entry: JournalEntry | None, json: bool) -> None:
    stands = models.aliases(name)[alias] if entry is None else entry.aliases[alias]
    if json:
        print_json({"name": name, "alias": alias, **vars(stands), "entry": None if entry is None else entry.to_dict()})
        return
    screen = screen_beside(False)
    if entry is None:
        screen.print(f"{name}@{alias}: stands at version {stands.version} already; nothing was changed")
        return
    before = "new" if entry.from_version is None else f"version {entry.from_version}"
    screen.print(
        f"{name}@{alias}: {before} -> version {entry.to_version} (generation {stands.generation}, journal entry "
        f"{entry.number})"
    )


def _show_version(models: Registry, version: Version, json: bool) -> None:
    aliases = _aliases_of(models, version)
    from robonav_ray.registry.bundles import carried_bundle

    bundle = carried_bundle(version)
    if json:
        print_json({**version.to_dict(), "aliases": aliases, "bundle": None if bundle is None else bundle.to_dict()})
        return
    from rich.table import Table

    from robonav_ray.registry.difference import figures

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    rows = {
        "version": version.ref,
        "aliases": ", ".join(aliases) or "-",
        "location": version.shown,
        "content": version.content_id,
        "bundle": None if bundle is None else f"{bundle.shown} ({bundle.sha256[:12]})",
        **{key.replace("_", " "): value for key, value in version.provenance.items() if key not in _SHOWN_ELSEWHERE},
        **figures(version),
    }
    for key, value in rows.items():
        text = "\n".join(f"{k}: {v}" for k, v in value.items() if v is not None) if isinstance(value, dict) else value
        table.add_row(key, "-" if text in (None, "") else str(text))
    screen_beside(False, soft_wrap=False).print(table)


_SHOWN_ELSEWHERE = ("name", "number", "content_id", "created_s", "format_version")


def _model_facts(models: Registry, name: str) -> dict[str, Any]:
    newest = models.newest(name)
    return {
        "name": name,
        "versions": [*newest.versions],
        "aliases": {alias: vars(stands) for alias, stands in newest.aliases.items()},
        "changed": newest.time,
        "entries": newest.number,
    }


def _aliases_of(models: Registry, version: Version) -> list[str]:
    return [alias for alias, stands in models.aliases(version.name).items() if stands.version == version.number]


def _success(version: Version) -> str:
    from robonav_ray.registry.difference import figures

    found = [value for key, value in figures(version).items() if "success" in key]
    return f"{found[-1]:.1%}" if found and isinstance(found[-1], float) else "-"


def _journal_table(entries: list[JournalEntry]) -> Table:
    table = _table("no.", "when", "what", "from", "to", "who, why")
    for entry in entries:
        what = entry.kind.replace("alias_", "").replace("_", " ") + ("" if entry.alias is None else f" {entry.alias}")
        told = f"{entry.who}{': ' * bool(entry.reason)}{entry.reason}"
        moved = ("-" if number is None else str(number) for number in (entry.from_version, entry.to_version))
        table.add_row(str(entry.number), entry.time[:16].replace("T", " "), what, *moved, told)
    return table


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
