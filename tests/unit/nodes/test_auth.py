"""The token: found where Ray finds it, made when missing, kept from others, never shown."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from robonav_ray.nodes import auth
from robonav_ray.nodes.auth import AuthError, ensure_token, find_token, own_token


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_token_is_made_for_the_owner_alone_and_kept(home):
    ensure_token()
    path = home / ".ray" / "auth_token"
    assert mode(path) == 0o600
    first = path.read_text()
    assert len(first) >= 32
    ensure_token()
    assert path.read_text() == first
    token = find_token()
    assert token.headers == {"authorization": f"Bearer {first}"}
    assert first not in repr(token)


def test_an_empty_file_gets_a_token_and_the_right_mode(home):
    path = home / ".ray" / "auth_token"
    path.parent.mkdir()
    path.touch(mode=0o644)
    ensure_token()
    assert path.read_text()
    assert mode(path) == 0o600


def test_a_file_that_others_could_read_becomes_private_with_a_warning(home, caplog):
    path = home / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text("a-token-that-leaked")
    path.chmod(0o644)
    assert find_token().value is not None
    assert mode(path) == 0o600
    assert str(path) in caplog.text
    assert "a-token-that-leaked" not in caplog.text


def test_a_file_that_others_may_write_is_refused(home):
    path = home / ".ray" / "auth_token"
    path.parent.mkdir()
    path.write_text("whose-is-it")
    path.chmod(0o666)
    with pytest.raises(AuthError, match="every user of this machine may write"):
        find_token()


def test_the_variable_wins_over_the_file_and_a_named_file_must_exist(home, monkeypatch):
    ensure_token()
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "nowhere"))
    with pytest.raises(AuthError, match=r"RAY_AUTH_TOKEN_PATH: .*no such file"):
        find_token()
    ensure_token()
    assert find_token().origin == f"RAY_AUTH_TOKEN_PATH={home / 'nowhere'}"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "from-the-variable")
    assert find_token().origin == "RAY_AUTH_TOKEN"


def test_without_token_mode_nothing_is_made(home, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ensure_token()
    assert not (home / ".ray").exists()


def test_a_token_that_cannot_be_written_is_said(home, monkeypatch):
    (home / "file").touch()
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "file" / "token"))
    with pytest.raises(AuthError, match="RAY_AUTH_TOKEN_PATH"):
        ensure_token()


@pytest.mark.parametrize("there", ["a file as home", "no home at all"])
def test_without_a_home_a_ray_of_ones_own_has_a_token_that_ends_with_it(home, monkeypatch, there, caplog):
    (home / "file").touch()
    monkeypatch.setenv("HOME", str(home / "file"))
    if there == "no home at all":

        def unknown() -> Path:
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(Path, "home", unknown)
        monkeypatch.setattr(auth.os, "access", lambda *_: False)
        monkeypatch.setattr(Path, "mkdir", lambda *_, **__: None)
    with own_token():
        token = find_token()
        assert token.origin == "RAY_AUTH_TOKEN"
        assert token.value is not None
        assert token.value.get_secret_value() not in caplog.text
    assert "RAY_AUTH_TOKEN" not in os.environ
    assert "this Ray has a token of its own" in caplog.text


def test_with_a_home_or_a_file_that_was_named_it_is_kept(home, monkeypatch):
    with own_token():
        assert find_token().origin == str(home / ".ray" / "auth_token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / ".ray" / "auth_token" / "below"))
    with pytest.raises(AuthError, match="RAY_AUTH_TOKEN_PATH"), own_token():
        pass
