"""The registry at W&B: a version of a model is a version of an artifact, and an alias of ours is one of theirs.

An artifact of the same files is the same version there, so that a call that comes a second time changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from robonav_ray.config.tracking import WandbTracking
from robonav_ray.errors import UserError
from robonav_ray.registry.journal import JournalEntry
from robonav_ray.registry.versions import Version, read_file
from robonav_ray.tracking.backend import TrackerError
from robonav_ray.tracking.wandb.access import check_package, wandb_access
from robonav_ray.tracking.wandb.artifacts import artifact_name
from robonav_ray.tracking.wandb.service_process import end_run, start_run
from robonav_ray.tracking.wandb.wandb_run import settings_of


def open_wandb_mirror(section: WandbTracking, version: Version) -> WandbMirror:
    """Return the mirror of a version; what is sent later is kept in ``wandb`` in the output folder of its config.

    Raises:
        UserError: When there is no package, or no key for a server that is asked for.
    """
    check_package()
    wandb_access(section)
    return WandbMirror(section, Path(version.config.output_dir))


class WandbMirror:
    """Sends versions and aliases, each through a short run of W&B of the kind ``registry``."""

    name = "wandb"

    def __init__(self, section: WandbTracking, directory: Path) -> None:
        self._section, self._directory = section, directory

    def version_added(self, version: Version) -> None:
        """Log the version's files as an artifact with the alias ``version-N``: W&B counts its ``vN`` itself, from 0."""
        self._send(version, ())

    def alias_moved(self, name: str, alias: str, version: Version, entry: JournalEntry) -> None:
        """Log them again, which is the same artifact, with ``alias`` beside."""
        self._send(version, (alias,))

    def _send(self, version: Version, aliases: Sequence[str]) -> None:
        """Raises RuntimeError when wandb cannot do it now."""
        try:
            access = wandb_access(self._section)
            kind = {"run_job_type": "registry", "run_name": f"registry {version.ref}", "x_disable_stats": True}
            run = start_run(settings_of(self._section, access, self._directory) | kind, {})
            try:
                import wandb

                about = {"version": version.number, "content_id": version.content_id, **version.provenance}
                artifact = wandb.Artifact(artifact_name(version.name), type="model", metadata=about)
                for name in sorted(version.files):
                    with artifact.new_file(name, mode="wb") as file:
                        file.write(read_file(version, name))
                run.log_artifact(artifact, aliases=[f"version-{version.number}", *aliases])
            finally:
                end_run(run, 0)
        except (TrackerError, UserError) as error:
            raise RuntimeError(str(error)) from None
