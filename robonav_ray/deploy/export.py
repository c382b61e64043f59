"""``robonav_ray.export``: a run, or a version of a model, as a bundle."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import TYPE_CHECKING

import robonav_policy
from robonav_policy.bundle import MANIFEST, NUMPY, ONNX, PT2, SPEC, read_bundle
from robonav_policy.errors import PolicyError
from robonav_policy.spec import FORMAT_VERSION, KIND, parse_spec
from robonav_ray.deploy.checking import BundleRefusedError, check_model
from robonav_ray.deploy.readme import README, readme_of
from robonav_ray.deploy.spec import Subject, refuse_undrivable, spec_of
from robonav_ray.errors import UserError
from robonav_ray.files.locations import above, name_of
from robonav_ray.files.manifest import FileEntry, manifest_bytes
from robonav_ray.files.plain_files import list_plain, read_bytes, replace
from robonav_ray.registry.bundles import carried_bundle
from robonav_ray.registry.by_name import located
from robonav_ray.registry.contents import content_of, ensemble_content
from robonav_ray.registry.ensembles import PREFIX, checkpoint_of_one, find_ensemble, names_ensemble
from robonav_ray.registry.registry import Registry
from robonav_ray.runs.checkpoint_index import Which, checked_which
from robonav_ray.runs.ensembles import ensemble_file
from robonav_ray.runs.located import LocatedRun, refuse_unwritable, refuse_uri
from robonav_ray.runs.policies import Ensemble, Member, make_ready, read_policy, stored_ensemble
from robonav_ray.runs.stored_models import ModelCheckpoint
from robonav_ray.runs.task import describe_task

if TYPE_CHECKING:
    from robonav_ray.algo.policy import Policy
    from robonav_ray.runs.task import Task

FORMATS = {"onnx": ONNX, "pt2": PT2, "numpy": NUMPY}
BUNDLES = "bundles"
"""Folder of a run that its bundles lie in unless ``out`` says otherwise."""
PACKAGE, ROS_PACKAGE = "robonav_policy", "robonav_nav"
ROS2 = Path(__file__).parent / "ros2"
"""A package of ROS 2 that goes into every bundle."""
MAX_SOURCE_BYTES, MAX_FILES = 1_000_000, 100


@dataclass(frozen=True)
class ExportResult:
    """A bundle that was written, or was there."""

    location: str
    """Its folder, or the URI of it where a version in a bucket carries it."""
    sha256: str
    """Of its manifest: the same for the same bundle."""
    num_bytes: int
    """Of all its files."""
    files: Mapping[str, int]
    """Name -> bytes."""
    is_new: bool
    """False where the very bundle lay there already."""

    @property
    def folder(self) -> Path:
        """Its folder; of one in a bucket there is none on this machine."""
        return Path(self.location)


def export(
    run: str | Path,
    *,
    out: str | Path | None = None,
    format: str | Sequence[str] = "onnx",
    checkpoint: Which | None = None,
) -> ExportResult:
    """Write the policy of a run as a bundle that a robot drives with, as ``robonav export`` does.

    ::

        bundle = robonav_ray.export("runs/curriculum-20261122-181500", out="bundle")
        bundle.sha256                                 # the same policy gives the same bundle
        policy = robonav_policy.Policy.load(bundle.folder)
        twist = policy.act(ranges, pose, goal)        # (linear m/s, angular rad/s)

    Args:
        run: Directory of a run or of one of its checkpoints, the URI of either, or a model of the registry
            (``robot_nav@champion``); or an ensemble, by its file or as ``ensemble:runs/a,runs/b``.
        out: Folder of the bundle, which is made. None takes ``bundles/CHECKPOINT`` in the run; a version of a model
            carries it from then on.
        format: ``onnx``, ``pt2``, ``numpy``, or several with commas: how the network is written.
        checkpoint: ``best`` or ``last``, of a run; None takes the best of a run that was judged while it trained, else
            the last.

    Raises:
        UserError: When it is no run, or a damaged one; when no robot can have its observations; for another format;
            when ``out`` holds anything else; when a package is missing.
        OSError: When the bundle cannot be written; nothing is left then.
    """
    formats = checked_formats(format)
    if out is not None:
        refuse_uri(Path(out), "--out", "a bundle is written into a folder of this machine")
        refuse_unwritable(Path(out).absolute().parent, "--out")
    if names_ensemble(str(run)):
        checkpoint_of_one(checkpoint)
        return _export_ensemble(str(run), None if out is None else Path(out), formats)
    with located(str(run), which=checked_which(checkpoint)) as found:
        carries = out is None and found.run.is_model
        folder = None if carries else _folder(found, None if out is None else Path(out))
        files = bundle_files(found, formats)
        location = found.uri or str(found.run.path)
    return _carry(location, files) if folder is None else _write(folder, files)


def _export_ensemble(word: str, out: Path | None, formats: Sequence[str]) -> ExportResult:
    """Write the policy of an ensemble that is no version of a model; beside its ``ensemble.json`` where that says
    where.
    """
    file = ensemble_file(Path(word.removeprefix(PREFIX)))
    if out is None:
        if file is None:
            raise UserError(f"{word}: --out DIR says where the bundle goes")
        out = file.parent / BUNDLES / "ensemble"
    folder = _checked_folder(out)
    ensemble = find_ensemble(word)
    told = ensemble_content(ensemble, "")
    subject = Subject(str(told.provenance["run"]), word, ensemble.config, told, ensemble)
    return _write(folder, _bundle_files(subject, formats))


def checked_formats(format: str | Sequence[str]) -> tuple[str, ...]:
    """Return the formats, each once; UserError for one that there is not."""
    words = format.split(",") if isinstance(format, str) else list(format)
    for word in words:
        if word not in FORMATS:
            raise UserError(f"--format {word!r}: is none of {', '.join(FORMATS)} (several with commas: onnx,numpy)")
    return tuple(name for name in FORMATS if name in words)


def bundle_files(found: LocatedRun, formats: Sequence[str]) -> dict[str, bytes]:
    """Return name -> content of all files of a bundle but its manifest; the network is held against the policy."""
    config, checkpoint = found.run.config, found.checkpoint
    refuse_undrivable(config, describe_task(config), found.shown)
    if isinstance(checkpoint, ModelCheckpoint) and checkpoint.is_ensemble:
        acting = stored_ensemble(checkpoint)
    else:
        snapshot = read_policy(checkpoint, config.evaluation.weights)
        acting = Ensemble("mean", (Member(found.shown, config, snapshot, {}),))
    return _bundle_files(Subject(found.run.name, found.shown, config, content_of(found, ""), acting), formats)


def _bundle_files(subject: Subject, formats: Sequence[str]) -> dict[str, bytes]:
    task = describe_task(subject.config)
    refuse_undrivable(subject.config, task, subject.shown)
    spec = spec_of(subject, task)
    files = {SPEC: (json.dumps(spec, indent=1, allow_nan=False) + "\n").encode()}
    files |= _networks(subject, task, formats)
    files[README] = readme_of(parse_spec(spec), sorted(files)).encode()
    source = Path(robonav_policy.__file__).parent
    for path in sorted(source.glob("*.py")):
        data = read_bytes(path, MAX_SOURCE_BYTES, follow=True)
        files |= {f"{PACKAGE}/{path.name}": data, f"{ROS_PACKAGE}/{PACKAGE}/{path.name}": data}
    for name in list_plain(ROS2, MAX_FILES):
        if "__pycache__" not in name:
            files[name] = read_bytes(ROS2 / name, MAX_SOURCE_BYTES, follow=True)
    return files


def _networks(subject: Subject, task: Task, formats: Sequence[str]) -> dict[str, bytes]:
    from robonav_ray.deploy import graph

    members = subject.acting.members
    first, *others = members
    if others:
        refuse_many(subject, formats)
        policy: Policy = subject.acting.policy(task)
    else:
        policy = make_ready(first.snapshot, subject.config, task, subject.shown)
    modules = [
        graph.greedy_module(one.snapshot, task.obs_dim, task.num_actions, one.config.algo, task.structure)
        for one in members
    ]
    module = graph.mean_of(modules, subject.acting.scales)
    found = dict[str, bytes]()
    for name in formats:
        if name == "onnx":
            found[ONNX] = graph.onnx_bytes(module, task.obs_dim)
        elif name == "pt2":
            found[PT2] = graph.pt2_bytes(module, task.obs_dim)
        else:
            found[NUMPY] = graph.numpy_bytes(first.snapshot, subject.config.algo, task.structure)
        check_model(FORMATS[name], found[FORMATS[name]], policy)
    return found


def refuse_many(subject: Subject, formats: Sequence[str]) -> None:
    """Raise UserError where there is no file of an ensemble."""
    if subject.acting.how == "vote":
        raise UserError(
            f"{subject.shown}: its members vote, and a bundle holds one graph of Q values; have them take the mean "
            "(ensemble:mean:...), or export the best member"
        )
    if "numpy" in formats:
        raise UserError("--format numpy: holds the layers of one network, not of an ensemble; take --format onnx")


def _folder(found: LocatedRun, out: Path | None) -> Path:
    """Return where the bundle goes; UserError where it has no place, or something else lies there."""
    if out is None and found.uri is not None:
        raise UserError(f"{found.shown}: lies in a storage; --out DIR says where on this machine the bundle goes")
    if out is None:
        out = found.run.path / BUNDLES / found.checkpoint.path.name
    return _checked_folder(out)


def _checked_folder(out: Path) -> Path:
    """Return a folder that a bundle may go into; UserError where something else lies there."""
    if os.path.lexists(out) and not out.is_dir():
        raise UserError(f"--out {out}: is no folder; name one that is to be made")
    if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file():
        raise UserError(f"--out {out}: holds other files already; name a folder that is to be made")
    return out


def _carry(location: str, files: Mapping[str, bytes]) -> ExportResult:
    """Have the version of a model at ``location`` carry a bundle."""
    model = above(above(location))
    registry = Registry(above(model))
    version = registry.version(name_of(model), name_of(location))
    entry = registry.carry(version, _with_manifest(files))
    carried = carried_bundle(version)
    assert carried is not None  # it has just been written, or found
    return _result(carried.location, _with_manifest(files), entry is not None)


def _with_manifest(files: Mapping[str, bytes]) -> dict[str, bytes]:
    entries = [FileEntry(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in files.items()]
    return {**files, MANIFEST: manifest_bytes({"kind": KIND, "format_version": FORMAT_VERSION}, entries, {})}


def _result(location: str, files: Mapping[str, bytes], is_new: bool) -> ExportResult:
    sizes = {name: len(data) for name, data in sorted(files.items())}
    return ExportResult(location, hashlib.sha256(files[MANIFEST]).hexdigest(), sum(sizes.values()), sizes, is_new)


def _write(folder: Path, files: Mapping[str, bytes]) -> ExportResult:
    """Write a bundle aside and rename it; the same one stays as it is.

    Raises:
        BundleRefusedError: When another bundle lies there.
    """
    files = _with_manifest(files)
    result = _result(str(folder), files, is_new=True)
    if (folder / MANIFEST).is_file():
        try:
            there = read_bundle(folder)
        except PolicyError as error:
            raise BundleRefusedError(
                f"{error}; nothing was written: remove the folder, or name another with --out"
            ) from None
        if there.sha256 != result.sha256:
            raise BundleRefusedError(
                f"{folder}: holds another bundle already ({there.spec.name}), which is never replaced; name another "
                "folder with --out"
            )
        return replace_fields(result, is_new=False)
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        for name, data in files.items():
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            replace(aside / name, data)
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return result
