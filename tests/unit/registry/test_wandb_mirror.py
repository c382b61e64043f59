"""A version of the registry is an artifact of W&B, and an alias that moves is an alias of it."""

from pathlib import Path

import pytest

from robonav_ray.config.tracking import WandbTracking
from robonav_ray.registry.registry import Registry
from robonav_ray.tracking.wandb.registry_mirror import WandbMirror
from tests.unit.tracking.wandb_file import read_offline

pytest.importorskip("wandb", reason="the extra `wandb` is not installed")


@pytest.mark.slow
def test_versions_and_aliases_are_mirrored(made: Path, registry: Registry, tmp_path: Path, monkeypatch, caplog) -> None:
    for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_SILENT", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(variable, "x")
        monkeypatch.delenv(variable)
    mirror = WandbMirror(WandbTracking(mode="offline"), tmp_path)
    mirrored = Registry(tmp_path / "models", mirrors=lambda version: [mirror])
    version = mirrored.add(made / "third", "robot_nav")
    mirrored.promote("robot_nav", version.number, reason="it won")
    found = read_offline(tmp_path)
    files = sorted(version.files)
    assert found.artifacts == [
        ("robot_nav", "model", ["latest", "version-3"], files),
        ("robot_nav", "model", ["champion", "latest", "version-3"], files),
    ]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
