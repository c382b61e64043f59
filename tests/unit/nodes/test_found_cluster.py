"""A cluster that was not named but runs here: called what it is, with both ways out; another user's is not told our
token."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import ray

from robonav_ray.config.runtime import RuntimeConfig
from robonav_ray.nodes import connection
from robonav_ray.nodes.connection import connected
from robonav_ray.nodes.probe import ClusterError
from tests.unit.nodes.test_probe import TOKEN, VERSIONS, head


@pytest.fixture(autouse=True)
def note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `ray start` would note its cluster."""
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)  # the suite's own session
    path = tmp_path / "ray" / "ray_current_cluster"
    path.parent.mkdir()
    return path


@pytest.fixture
def address() -> Iterator[str]:
    with head() as address:
        yield address


def refusal(address: str | None = None) -> str:
    with pytest.raises(ClusterError) as caught, connected(RuntimeConfig(address=address)):
        pass
    return str(caught.value)


@pytest.mark.parametrize("token", [None, "another-token-0123456789"])
def test_a_cluster_that_does_not_let_us_in_is_called_by_where_it_was_found(
    token: str | None, note: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    note.write_text(address)
    if token is not None:
        monkeypatch.setenv("RAY_AUTH_TOKEN", token)
    said = refusal()
    assert said.startswith(f"the Ray cluster that runs on this machine at {address} (noted in {note}): ")
    assert "token" in said
    assert "RAY_AUTH_TOKEN_PATH" in said  # one way out
    assert said.endswith("or have a Ray of your own, beside it, with runtime.address=local")  # the other
    assert "RAY_ADDRESS" not in said


def test_one_of_another_version_or_that_is_open_has_both_ways_out_too(
    note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setattr("ray._private.services.find_node_ids", lambda: [(b"\x01" * 28).hex()])
    for token, versions, says in (
        (TOKEN, {**VERSIONS, "ray_version": "1.0"}, "runs Ray 1.0"),
        (None, VERSIONS, "asks for no token"),
    ):
        with head(token, versions) as address:
            note.write_text(address)
            said = refusal()
        assert says in said
        assert said.endswith("runtime.address=local")
        assert "RAY_ADDRESS" not in said


def test_another_users_is_not_joined_and_told_nothing(
    note: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    note.write_text(address)
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    true = Path.lstat

    def lstat(path: Path) -> os.stat_result:
        found = list(true(path))
        found[4] = os.geteuid() + 1
        return os.stat_result(found)

    monkeypatch.setattr(Path, "lstat", lstat)
    monkeypatch.setattr(connection, "check_cluster", lambda *_: pytest.fail("the token was sent"))
    said = refusal()
    assert f"is another user's (uid {os.geteuid() + 1})" in said
    assert f"runtime.address={address}" in said
    assert said.endswith("runtime.address=local")


def test_what_was_named_is_still_called_by_its_key_or_variable(
    address: str, note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refusal(address).startswith("runtime.address: to join")
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert refusal().startswith("RAY_ADDRESS: to join")
    monkeypatch.delenv("RAY_ADDRESS")
    assert "auto means the cluster that runs on this machine, and there is none" in refusal("auto")
    note.write_text(address)
    assert refusal("auto").startswith("the Ray cluster that runs on this machine")


@pytest.mark.parametrize("there", ["nothing", "stale", "link", "folder", "no address", "large"])
def test_no_note_that_leads_to_a_cluster_means_a_ray_of_our_own(
    there: str, note: Path, address: str, tmp_path: Path
) -> None:
    if there == "link":
        (tmp_path / "real").write_text(address)
        note.symlink_to(tmp_path / "real")
    elif there == "folder":
        note.mkdir()
    elif there != "nothing":
        note.write_text({"stale": "127.0.0.1:1", "no address": "\x00\n", "large": address + " " * 10_000}[there])
    assert connection._running_local_cluster() is None


def test_auto_takes_any_of_this_users_rays_and_no_other(
    note: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raylets(uid: int, words: list[str]) -> None:
        uids = SimpleNamespace(effective=uid)
        monkeypatch.setattr(psutil, "process_iter", lambda _: [SimpleNamespace(info={"uids": uids, "cmdline": words})])

    monkeypatch.setenv("RAY_ADDRESS", "auto")
    words = ["/x/ray/raylet", "--head", f"--gcs-address={address}"]
    raylets(os.geteuid(), words)
    assert refusal().startswith(f"the Ray that was found running on this machine at {address}: ")
    for uid, told in ((os.geteuid() + 1, words), (os.geteuid(), ["/x/tail", words[2]]), (os.geteuid(), [])):
        raylets(uid, told)
        assert "there is none: start one" in refusal()
