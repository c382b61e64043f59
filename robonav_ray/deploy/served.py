"""The policies that a server answers with: one, or the two of a split, and who drives which episode.

::

    NAME@champion | RUN | BUNDLE --> a bundle on this machine --> Served --(robot, episode)--> arm --obs--> Q values
                   --split DIR ------> split.json, exposures.jsonl, rolled_back.json
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robonav_policy.bundle import Bundle, read_bundle
from robonav_policy.models import Model, open_model
from robonav_ray.deploy.checking import refused
from robonav_ray.deploy.export import export
from robonav_ray.errors import UserError
from robonav_ray.evaluation.bundle_entrant import is_bundle
from robonav_ray.evaluation.fleet.exposures import ROLLED_BACK, ExposureLog
from robonav_ray.evaluation.fleet.split import Arm, FleetSplit
from robonav_ray.files.locations import as_folder
from robonav_ray.files.plain_files import check_folder
from robonav_ray.registry.bundles import carried_bundle
from robonav_ray.registry.by_name import version_named
from robonav_ray.registry.names import model_named

MAX_EPISODES = 100_000
"""Episodes under way whose arm is remembered; an older one is asked for again, which gives the same."""


class ServeError(UserError):
    """What is to be served, or how, cannot be; the message says why."""


@dataclass(frozen=True)
class Source:
    """One policy to be served."""

    name: str
    """As people named it, or the version that it is: ``robot_nav@3``."""
    folder: Path
    """Of its bundle."""
    sha256: str
    """Of the bundle: what a process opens later must be this one."""


@dataclass(frozen=True)
class Plan:
    """All that is served."""

    policies: dict[Arm, Source]
    """The champion, and under a split the challenger."""
    split: Path | None = None
    """Folder of the split."""


def plan(what: str, split: Path | None, place: Path) -> Plan:
    """Return what ``robonav serve WHAT [--split DIR]`` serves.

    Args:
        what: A bundle, a run, or a model by name.
        split: Folder that ``robonav fleet begin`` made; its two versions are served.
        place: Folder for bundles that have to be exported first.

    Raises:
        UserError: When there is no such thing, no robot can drive with it, or the split is another model's.
    """
    if split is None:
        return Plan({"champion": _source(what, place / "champion")})
    check_folder(split)
    pinned, named = FleetSplit.load(split), model_named(what)
    if named is None or named.name != pinned.name:
        raise ServeError(f"--split {split}: is of the model {pinned.name}, and {what} names another thing to serve")
    version = version_named(what)
    assert version is not None  # it is named
    if str(version.number) != pinned.champion:
        raise ServeError(
            f"--split {split}: its champion is {pinned.name}@{pinned.champion}, and {what} is version "
            f"{version.number} now; serve {pinned.name}@{pinned.champion}, or begin another split"
        )
    prefix = what.rpartition("@")[0]
    arms: tuple[Arm, ...] = ("champion", "challenger")
    sources: dict[Arm, Source] = {arm: _source(f"{prefix}@{pinned.version_of(arm)}", place / arm) for arm in arms}
    dims = {arm: _opened(source).spec for arm, source in sources.items()}
    one, other = dims["champion"], dims["challenger"]
    if (one.scan, one.obs_dim, one.actions.tolist()) != (other.scan, other.obs_dim, other.actions.tolist()):
        raise ServeError(
            f"--split {split}: {sources['champion'].name} and {sources['challenger'].name} see or do different things: "
            "one robot's observation cannot be given to both"
        )
    return Plan(sources, split.absolute())


def _source(what: str, place: Path) -> Source:
    folder, version = Path(what), version_named(what)
    name = what
    if not (version is None and is_bundle(folder)):
        carried = None if version is None else carried_bundle(version)
        there = None if carried is None else as_folder(carried.location)
        folder = export(what, out=place, format="onnx").folder if there is None else there
        name = what if version is None else version.ref
    with refused():
        return Source(name, folder.absolute(), read_bundle(folder).sha256)


def _opened(source: Source) -> Bundle:
    with refused():
        bundle = read_bundle(source.folder)
    if bundle.sha256 != source.sha256:
        raise ServeError(f"{source.folder}: is another bundle than at the start ({source.name}); start again")
    return bundle


class Served:
    """The networks of a plan, open, and the arms of episodes."""

    def __init__(self, served: Plan) -> None:
        """Open all networks.

        Raises:
            UserError: When a bundle is not the one that was planned.
        """
        bundles: dict[Arm, Bundle] = {arm: _opened(source) for arm, source in served.policies.items()}
        with refused():
            self._models: dict[Arm, Model] = {arm: open_model(bundle) for arm, bundle in bundles.items()}
        self.spec = bundles["champion"].spec
        self.names: dict[Arm, str] = {arm: source.name for arm, source in served.policies.items()}
        self.sha256: dict[Arm, str] = {arm: source.sha256 for arm, source in served.policies.items()}
        self._folder = served.split
        self._log = None if served.split is None else ExposureLog(FleetSplit.load(served.split), served.split)
        self._arms: OrderedDict[tuple[str, int], Arm] = OrderedDict()

    @property
    def splits(self) -> bool:
        """Whether episodes are split between two versions."""
        return self._log is not None

    @property
    def is_rolled_back(self) -> bool:
        """Whether the challenger has had to go, so that the champion drives everything, at once."""
        return self._folder is not None and os.path.lexists(self._folder / ROLLED_BACK)

    def arm_of(self, episode: tuple[str, int] | None) -> Arm:
        """Return who drives; an episode of a split that is new is logged as exposed first.

        Raises:
            OSError: When the log cannot be written.
        """
        if self._log is None or episode is None or self.is_rolled_back:
            return "champion"
        arm = self._arms.get(episode)
        if arm is None:
            arm = self._arms[episode] = self._log.assign(*episode)
            if len(self._arms) > MAX_EPISODES:
                self._arms.popitem(last=False)
        return arm

    def q_values(self, rows: Sequence[tuple[Arm, np.ndarray]]) -> list[np.ndarray]:
        """Return Q (N_i, A) float32 of each (arm, obs (N_i, D)): one call of a network for all rows of an arm."""
        found = [np.empty(0, np.float32)] * len(rows)
        for arm, model in self._models.items():
            mine = [i for i, (which, _) in enumerate(rows) if which == arm]
            if not mine:
                continue
            q = model(np.ascontiguousarray(np.concatenate([rows[i][1] for i in mine])))
            ends = np.cumsum([len(rows[i][1]) for i in mine])
            for i, part in zip(mine, np.split(q, ends[:-1]), strict=True):
                found[i] = part
        return found

    def command(self, q: np.ndarray) -> list[list[float]]:
        """Return what the best actions of Q (N, A) ask for, in m/s and rad/s: the change of the last command where the
        actions are increments.
        """
        return self.spec.actions[q.argmax(axis=1)].tolist()
