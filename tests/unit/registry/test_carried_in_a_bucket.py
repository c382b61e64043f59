"""A version in a bucket carries its bundle there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from robonav_policy import read_bundle
from robonav_ray.deploy.export import export
from robonav_ray.files import place_lock
from robonav_ray.registry.registry import Registry
from robonav_ray.registry.verifying import verify
from tests.made_up_runs import make_run


def test_a_version_in_a_bucket_carries_its_bundle(
    tmp_path: Path, bucket: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place_lock, "SETTLE_S", 0.01)
    registry = Registry("s3://lab/models")
    run = make_run(tmp_path / "small", ("algo.hidden_dims=[16]", "name=small"), steps=(100,))
    registry.add(run.path, "m", alias="champion")
    word = "s3://lab/models/m@champion"
    written = export(word, format="numpy")
    assert (written.is_new, written.location) == (True, "s3://lab/models/m/bundles/1")
    there = bucket("lab/models/m/bundles/1")
    assert read_bundle(there).sha256 == written.sha256 == registry.journal("m")[-1].facts["bundle_sha256"]
    assert not export(word, format="numpy").is_new
    assert verify(registry, "m").problems == []
    (there / "policy.npz").write_bytes(b"")
    assert any("policy.npz" in problem for problem in verify(registry, "m").problems)
    assert export(word, format="numpy").is_new
    assert (verify(registry, "m").problems, read_bundle(there).sha256) == ([], written.sha256)
