"""From what a user names to entrants: a run, a checkpoint, an ensemble of runs, a bundle, a planner, a function
``module:function``, another library's policy.

Each word may have a name before it: ``ours=runs/curriculum-20261122-181500``. A glob (``runs/seed*``) stands for all
that it finds.
"""

from __future__ import annotations

import dataclasses
import difflib
import glob
import hashlib
import json
import os
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from robonav_ray.config import RunConfig
from robonav_ray.evaluation.bundle_entrant import bundle_entrant, is_bundle
from robonav_ray.evaluation.ensemble_entrant import ensemble_entrant
from robonav_ray.evaluation.entrants import (
    LIDAR_ONLY,
    TRUE_STATE,
    Entrant,
    EntrantError,
    FunctionEntrant,
    Outfit,
    PlannerEntrant,
    PolicyEntrant,
)
from robonav_ray.evaluation.exam_table import EntrantFacts
from robonav_ray.evaluation.shared_cases import ITSELF, Company
from robonav_ray.evaluation.together import DRIVERS
from robonav_ray.files.locations import is_uri
from robonav_ray.files.plain_files import read_bytes
from robonav_ray.planners.base import PLANNERS, SCAN_AND_PATH, find_planner
from robonav_ray.registry.by_name import located
from robonav_ray.registry.ensembles import find_ensemble, names_ensemble
from robonav_ray.registry.names import model_named
from robonav_ray.runs.located import LocatedRun, whole_uri
from robonav_ray.runs.policies import load_policy, read_policy, stored_ensemble, weights_hash
from robonav_ray.runs.run_directory import RunDirectoryError
from robonav_ray.runs.stored_models import PROVENANCE_FILE, ModelCheckpoint
from robonav_ray.runs.task import describe_task
from robonav_ray.text import one_line
from robonav_ray.user_code import load_user_code

CALLABLES = "robonav_ray.policies"
"""Group of entry points that act."""
_KNOWS = {SCAN_AND_PATH: LIDAR_ONLY}
"""Planners that see what a policy sees are said to know the same."""
_NOT_METHOD = ("seed", "name", "output_dir", "tracking", "checkpoint", "evaluation", "runtime")
"""What differs between the seeds of one method, or says where files go and how it runs."""

SLOW, SLOW_EPISODES = frozenset(("lookahead",)), 200
"""Planners that search ahead play the first episodes of a scenario only; the table says so."""

Named = tuple[str, Callable[..., Any]]
"""A function by name."""
LoadForeign = Callable[[str, str, bool], FunctionEntrant | None]
"""(path, name, whether the user trusts it) -> another library's policy; None when it is none."""


def find_entrants(
    words: Sequence[str | Named],
    *,
    foreign: LoadForeign,
    trust: bool = False,
) -> list[Entrant]:
    """Return the entrants that ``words`` name, in their order; functions may stand among them by name.

    What a function does is not known to be the same a second time, so that its finished cells are not taken up again.
    Planners and functions get the sensor and the body of the first run among them, where there is one.

    Raises:
        UserError: Naming the first that cannot take part, and what to do.
    """
    found = list[Entrant]()
    for word in words:
        if isinstance(word, str):
            name, told = split_name(word)
            found += [_entrant(one, name, foreign, trust) for one in _globbed(told)]
        else:
            found.append(_function(word[1], word[0], word[0], secrets.token_hex()))
    if not found:
        raise EntrantError("no entrant is named; name runs, planners or functions")
    first = next((entrant.outfit for entrant in found if entrant.outfit is not None), None)
    return [_dressed(entrant, first) for entrant in _named_apart(found)]


def find_partners(words: Sequence[str], *, foreign: LoadForeign, trust: bool = False) -> list[Company]:
    """Return those beside whom entrants play: ``itself`` first, where any is named, then what ``words`` name, drivers
    of the worlds (``orca``) among them.

    Raises:
        UserError: Naming the first that is none.
    """
    found = list[Company]()
    for word in words:
        name, told = split_name(word)
        if told in (ITSELF, *DRIVERS):
            found.append(Company(name or told, None if told == ITSELF else told))
            continue
        near = difflib.get_close_matches(told, (ITSELF, *DRIVERS), n=1, cutoff=0.75)
        if near and not os.path.lexists(told) and told.partition(":")[0] not in PLANNERS:
            raise EntrantError(f"partner {told}: is no run directory here; did you mean {near[0]!r}?")
        players = find_entrants([word], foreign=foreign, trust=trust)
        found += [Company(player.facts.name, player) for player in players]
    if found and all(company.player is not None for company in found):
        found.insert(0, Company(ITSELF, None))
    if twice := [name for name, number in Counter(company.name for company in found).items() if number > 1]:
        raise EntrantError(f"partner {twice[0]}: is named twice; name each once, or give each a name (mine=runs/...)")
    return found


def split_name(word: str) -> tuple[str | None, str]:
    """Return the name that ``word`` gives its entrant, None for none, and the rest; a path of that very name wins."""
    name, equals, rest = word.partition("=")
    if equals and rest and name and "/" not in name and not os.path.lexists(word):
        return one_line(name), rest
    return None, word


def _globbed(word: str) -> list[str]:
    is_one = os.path.lexists(word) or is_uri(whole_uri(word)) or names_ensemble(word)
    if is_one or not any(mark in word for mark in "*?["):
        return [word]
    if not (paths := sorted(glob.glob(word))):
        raise EntrantError(f"{word}: finds nothing")
    return paths


def _entrant(word: str, name: str | None, foreign: LoadForeign, trust: bool) -> Entrant:
    plain, colon, rest = word.partition(":")
    if names_ensemble(word):
        return ensemble_entrant(find_ensemble(word), name, word)
    if plain in PLANNERS:
        return _planner(word, name or word)
    if model_named(word) is not None:
        with located(word) as run:
            return _policy(run, word, name)
    path = Path(word)
    if word and is_bundle(path):
        return bundle_entrant(path, name)
    if path.exists() and (other := foreign(word, name or path.name, trust)) is not None:
        return other
    if colon and rest and not path.exists() and "/" not in word and not is_uri(whole_uri(word)):
        function = load_user_code(word, CALLABLES, "entrant")
        return _function(function, name or word, word, _source_hash(plain))
    if not word or (not path.exists() and not is_uri(whole_uri(word)) and "/" not in word):
        near = difflib.get_close_matches(plain, PLANNERS, n=1, cutoff=0.6)
        meant = f"did you mean {near[0]!r}?" if near else ", ".join(PLANNERS)
        raise EntrantError(
            f"{word or repr(word)}: is no run directory here, no planner ({meant}) and no module:function"
        )
    with located(word) as run:
        return _policy(run, word, name)


def _policy(found: LocatedRun, word: str, name: str | None) -> PolicyEntrant:
    checkpoint = found.checkpoint
    if isinstance(checkpoint, ModelCheckpoint) and checkpoint.is_ensemble:
        return ensemble_entrant(stored_ensemble(checkpoint), name or found.run.name, found.shown)
    config, task = found.run.config, describe_task(found.run.config)
    if not task.is_native:
        raise EntrantError(
            f"{found.shown}: was trained on env.id={task.env_id}, and an exam is in our worlds; `robonav evaluate` "
            f"judges it"
        )
    snapshot = read_policy(found.checkpoint, config.evaluation.weights)
    sha256 = weights_hash(snapshot)
    outfit = Outfit.of(config.env.world, config.algo.gamma, task.levels)
    is_model = found.run.is_model
    is_checkpoint = is_model or Path(word.rstrip("/")).name == found.checkpoint.path.name
    own_name = f"{found.run.name}/{found.checkpoint.path.name}" if is_checkpoint and not is_model else found.run.name
    method = own_name if is_model else _method(config)  # a version is no seed of its config: it is one of its kind
    facts = EntrantFacts(
        name=name or own_name,
        kind="checkpoint" if is_checkpoint else "run",
        knows=outfit.knows,
        method=f"{method}@{found.checkpoint.counters.env_steps}" if is_checkpoint and not is_model else method,
        train_seed=config.seed,
        source=found.shown,
        provenance={
            "checkpoint": found.run.name if is_model else found.checkpoint.path.name,
            "env_steps": str(found.checkpoint.counters.env_steps),
            "policy_version": str(snapshot.version),
            "weights": config.evaluation.weights,
            "weights_sha256": sha256,
            "git_revision": str(_origin(found).get("git_revision")),
        },
    )
    acting = {"algo": config.algo.model_dump(mode="json"), "weights": sha256}
    policy = load_policy(found.checkpoint, config, task)
    return PolicyEntrant(facts=facts, outfit=outfit, fingerprint=_hash(acting), policy=policy)


def _method(config: RunConfig) -> str:
    """Return a name that the seeds of one config share, and no other config has."""
    sections = {key: value for key, value in config.sections_in_use().items() if key not in _NOT_METHOD}
    return f"{config.name}-{_hash(sections)[:6]}"


def _origin(found: LocatedRun) -> dict[str, Any]:
    """Return what the last session of a run, or the provenance of a version, says of where it is from."""
    if found.run.is_model:
        return found.run.read_json(PROVENANCE_FILE)
    sessions = found.run.read_json("run.json").get("sessions")
    last = sessions[-1] if isinstance(sessions, list) and sessions else {}
    return last if isinstance(last, dict) else {}


def _planner(word: str, name: str) -> PlannerEntrant:
    spec, settings = find_planner(word)
    said = {**spec.defaults, **settings}
    on_maps = {} if ":" in word or not spec.map_tuning.settings else {"on_maps": spec.map_tuning.settings}
    most = SLOW_EPISODES if spec.name in SLOW else None
    slow = {} if most is None else {"episodes": f"the first {most} of each scenario, because it is slow"}
    facts = EntrantFacts(
        name=name,
        kind="planner",
        knows=_KNOWS.get(spec.knows, spec.knows),
        method=name,
        train_seed=None,
        source=word,
        provenance={
            "settings": json.dumps({**said, **on_maps}, sort_keys=True, default=str),
            "what": spec.text,
            "tuned": spec.tuning.how,
            **slow,
        },
    )
    return PlannerEntrant(
        facts=facts,
        outfit=None,
        fingerprint=_hash({"planner": spec.name, **said, **on_maps}),
        name=word,
        needs_scan=spec.knows == SCAN_AND_PATH,
        is_planner=True,
        most_episodes=most,
    )


def _function(function: Callable[..., Any], name: str, source: str, digest: str) -> FunctionEntrant:
    facts = EntrantFacts(
        name, "callable", LIDAR_ONLY, name, None, source, {"source_sha256": digest} if ":" in source else {}
    )
    digest_of_all = _hash({"function": source, "sha256": digest})
    return FunctionEntrant(facts=facts, outfit=None, fingerprint=digest_of_all, function=function)


def _source_hash(module: str) -> str:
    """Return the hash of the file that a module was imported from: with another one it has to play again."""
    file = sys.modules[module].__file__ if module in sys.modules else None
    return "" if file is None else hashlib.sha256(read_bytes(Path(file), follow=True)).hexdigest()


def _named_apart(found: Sequence[Entrant]) -> list[Entrant]:
    """Return the entrants, those of one name by their source instead."""
    count = Counter(entrant.facts.name for entrant in found)
    apart = [_renamed(entrant, entrant.facts.source) if count[entrant.facts.name] > 1 else entrant for entrant in found]
    for name, number in Counter(entrant.facts.name for entrant in apart).items():
        if number > 1:
            raise EntrantError(f"{name}: takes part twice; name each once, or give each a name (mine={name})")
    return apart


def _renamed(entrant: Entrant, name: str) -> Entrant:
    return dataclasses.replace(entrant, facts=dataclasses.replace(entrant.facts, name=name))


def _dressed(entrant: Entrant, first: Outfit | None) -> Entrant:
    """Give one that has no sensor and body of its own those of the first run, and the others worlds drawn for it."""
    if first is None or entrant.outfit is first:
        return entrant
    if entrant.outfit is not None:
        return dataclasses.replace(entrant, placed_for=first.body)
    dressed = dataclasses.replace(entrant, outfit=first)
    if isinstance(dressed, FunctionEntrant) and first.knows == TRUE_STATE and dressed.facts.kind == "callable":
        return dataclasses.replace(dressed, facts=dataclasses.replace(dressed.facts, knows=TRUE_STATE))
    return dressed


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def refuse_trained_on(entrants: Sequence[Entrant], seed: int, what: str) -> None:
    """Raise RunDirectoryError when an entrant was trained with the seed of the worlds of ``what``: they would not be
    held out.
    """
    for entrant in entrants:
        if seed in (entrant.facts.train_seed, *entrant.trained_with):
            raise RunDirectoryError(
                f"{what}: seed {seed} is the one that {entrant.facts.name} was trained with, so its worlds would "
                f"not be held out; "
                "give the suite another seed"
            )
