"""Nodes that do not see the folder of a run are named before anything is started, and nothing is left in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from robonav_ray.nodes import shared_storage
from robonav_ray.nodes.shared_storage import StorageError, check_shared

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]


def test_a_folder_that_all_see_is_accepted_and_left_empty(tmp_path: Path) -> None:
    check_shared(tmp_path / "new" / "runs", "output_dir")
    assert list((tmp_path / "new" / "runs").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"output_dir: .* cannot be written on this machine"):
        check_shared(tmp_path / "file" / "runs", "output_dir")


@pytest.mark.parametrize("exists", [False, True])
def test_nodes_with_another_folder_are_named_and_what_was_made_is_removed(
    tmp_path: Path, monkeypatch, exists: bool
) -> None:
    theirs = tmp_path / "theirs"
    if exists:
        theirs.mkdir()
    ask = shared_storage._ask_nodes
    monkeypatch.setattr(shared_storage, "SEEN_TIMEOUT_S", 0.1)
    monkeypatch.setattr(shared_storage, "_ask_nodes", lambda _, nonce, nodes: ask(str(theirs), nonce, nodes))
    says = "it has a folder of that name, but of its own" if exists else "the folder is not there"
    with pytest.raises(StorageError, match=rf"output_dir: .*node [0-9.]+ \([0-9a-f]{{8}}\): {says}.*output_dir=/mnt"):
        check_shared(tmp_path / "runs", "output_dir")
    assert not (tmp_path / "runs").exists()


def test_what_a_node_wrote_must_be_seen_here(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shared_storage, "SEEN_TIMEOUT_S", 0.1)
    monkeypatch.setattr(shared_storage, "_ask_nodes", lambda _, nonce, nodes: dict.fromkeys(nodes))
    with pytest.raises(StorageError, match="what it wrote there is not seen here"):
        check_shared(tmp_path, "output_dir")


def test_nodes_that_do_not_answer_are_only_warned_of(tmp_path: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(shared_storage, "_ask_nodes", lambda _, nonce, nodes: {})
    check_shared(tmp_path, "output_dir")
    assert "did not answer within" in caplog.text
