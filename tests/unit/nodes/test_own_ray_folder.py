"""A Ray that does not start says why, also from its logs, and leaves nothing; one without kept kernels shares them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import ray

from robonav_ray import compiled
from robonav_ray.config.runtime import RuntimeConfig
from robonav_ray.nodes.connection import connected
from robonav_ray.nodes.own_ray import own_ray
from robonav_ray.nodes.probe import ClusterError


@pytest.fixture
def errors() -> list[Exception]:
    """What Ray raises next."""
    return []


@pytest.fixture
def folders(errors: list[Exception], monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where Ray was to start; it logs a line and fails."""
    seen: list[Path] = []

    def init(*, _temp_dir: str, **arguments: Any) -> None:
        logs = Path(_temp_dir) / "session_2026-11-29" / "logs"
        logs.mkdir(parents=True)
        (logs / "raylet.out").write_text(
            "[2026-11-29 21:49:27,133 I 2827 2827] (raylet) all is well\n"
            "[2026-11-29 21:49:27,133 C 2827 2827] (raylet) store.cc:60: Check failed: no room in /dev/shm\n"
        )
        seen.append(Path(_temp_dir).parent)
        raise errors.pop() if errors else RuntimeError("the raylet has ended\nand more")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)  # of the suite's own session
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    return seen


@pytest.mark.parametrize(
    "error",
    [RuntimeError("timed out"), OSError(28, "No space left on device")],
)
def test_a_start_that_fails_says_why_and_leaves_nothing(
    error: Exception, errors: list[Exception], folders: list[Path]
) -> None:
    errors.append(error)
    with pytest.raises(ClusterError) as caught, connected(RuntimeConfig(address="local")):
        pass
    said = str(caught.value)
    assert said.startswith(f"a local Ray could not be started: {error}; raylet.out: ")
    assert "Check failed: no room in /dev/shm" in said
    assert "all is well" not in said
    assert "runtime.keep_ray_logs=true" in said
    assert not folders[0].exists()


def test_a_start_on_a_busy_machine_is_tried_once_more(
    errors: list[Exception], folders: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    errors += [
        Exception("The current node timed out during startup again"),
        Exception("The current node timed out during startup"),
    ]
    with pytest.raises(ClusterError, match="during startup again"), connected(RuntimeConfig(address="local")):
        pass
    assert "trying once more" in caplog.text
    assert len(set(folders)) == 2
    assert not any(folder.exists() for folder in folders)


def test_the_logs_of_a_start_that_fails_are_kept_when_that_was_asked_for(folders: list[Path]) -> None:
    with pytest.raises(ClusterError) as caught, connected(RuntimeConfig(address="local", keep_ray_logs=True)):
        pass
    assert f"Ray's logs are in {folders[0] / 'ray'}" in str(caught.value)
    assert (folders[0] / "ray" / "session_2026-11-29" / "logs" / "raylet.out").is_file()
    shutil.rmtree(folders[0])


@pytest.mark.parametrize("kept", [True, False])
def test_processes_share_kernels_where_none_are_kept(
    kept: bool, folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str | None] = []

    def init(**_: Any) -> None:
        seen.append(os.environ.get("NUMBA_CACHE_DIR"))
        raise RuntimeError

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(compiled, "kept_in", lambda: compiled.Kept(None, kept, ()))
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/nowhere")
    with pytest.raises(RuntimeError), own_ray():
        pass
    assert os.environ["NUMBA_CACHE_DIR"] == "/nowhere"
    assert seen[0] is not None
    assert seen[0] == "/nowhere" if kept else Path(seen[0]).match("*/rn-ray-*/kernels")
