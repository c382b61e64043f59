"""Online or offline, by which key; what a server says; and that no key is told to anyone else."""

import socketserver
import threading
from pathlib import Path

import pytest

from robonav_ray.config.tracking import WandbTracking
from robonav_ray.errors import UserError
from robonav_ray.tracking.deliveries import TrackersFile
from robonav_ray.tracking.wandb import access as wandb_access
from robonav_ray.tracking.wandb import registered_sweep
from robonav_ray.tracking.wandb.access import check_wandb
from robonav_ray.tracking.wandb.registered_sweep import register_sweep
from tests.unit.tracking.wandb_server import KEY, fake_wandb

OTHER_KEY = "canary" + 34 * "1"


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_MODE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setattr(wandb_access, "check_package", lambda: None)


def test_auto_is_online_where_a_key_is_there(monkeypatch, tmp_path):
    access = wandb_access.wandb_access(WandbTracking())
    assert access.mode == "offline"
    assert "WANDB_API_KEY" in access.why
    monkeypatch.setenv("WANDB_API_KEY", OTHER_KEY)
    access = wandb_access.wandb_access(WandbTracking())
    assert access.mode == "online"
    assert OTHER_KEY not in repr(access)
    assert wandb_access.wandb_access(WandbTracking(mode="offline")).mode == "offline"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert wandb_access.wandb_access(WandbTracking()).mode == "offline"
    assert wandb_access.wandb_access(WandbTracking(mode="online")).mode == "online"


def test_a_login_and_a_server_of_ones_own_are_found(monkeypatch, tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "settings").write_text("[default]\nbase_url = https://wandb.mine.example\n")
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine wandb.mine.example\n  login user\n  password {OTHER_KEY}\n")
    netrc.chmod(0o600)
    access = wandb_access.wandb_access(WandbTracking())
    assert (access.mode, access.url) == ("online", "https://wandb.mine.example")
    monkeypatch.setenv("WANDB_BASE_URL", "https://other.example/")
    assert wandb_access.wandb_access(WandbTracking()).mode == "offline", "the key is for another server"


def test_online_without_a_key_names_the_variable():
    with pytest.raises(UserError, match="WANDB_API_KEY"):
        wandb_access.wandb_access(WandbTracking(mode="online"))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (f"https://me:{OTHER_KEY}@wandb.example", "a name or a password"),
        ("ftp://x", "no address"),
        ("file:///etc/passwd", "no address"),
        ("https://[", "no address"),
    ],
)
def test_an_address_that_is_none_is_not_repeated(monkeypatch, url, told):
    monkeypatch.setenv("WANDB_BASE_URL", url)
    monkeypatch.setenv("WANDB_API_KEY", OTHER_KEY)
    with pytest.raises(UserError, match=told) as refused:
        check_wandb(WandbTracking())
    assert OTHER_KEY not in str(refused.value)


def test_the_server_is_asked_once_and_a_refused_key_is_named_by_its_variable(monkeypatch):
    with fake_wandb() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        check_wandb(WandbTracking())
        assert not server.asked, "offline asks nothing"
        monkeypatch.setenv("WANDB_API_KEY", OTHER_KEY)
        with pytest.raises(UserError, match=r"refuses the key \(WANDB_API_KEY\)") as refused:
            check_wandb(WandbTracking())
        assert OTHER_KEY not in str(refused.value)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        check_wandb(WandbTracking())
        assert [operation for operation, _ in server.asked] == ["Viewer"]
        monkeypatch.setattr(server, "answer", lambda *_: {"viewer": None})
        with pytest.raises(UserError, match="refuses the key"):
            check_wandb(WandbTracking())
    with pytest.raises(UserError, match=r"does not answer .*WANDB_BASE_URL"):
        check_wandb(WandbTracking())


class NoHttp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH\r\n\r\n")


def test_a_server_of_another_kind_is_one_that_does_not_answer(monkeypatch):
    with socketserver.TCPServer(("127.0.0.1", 0), NoHttp) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        with pytest.raises(UserError, match=r"does not answer .*WANDB_BASE_URL"):
            check_wandb(WandbTracking())
        thread.join()


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(wandb_access, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"robonav_ray\[wandb\]"):
        check_wandb(WandbTracking(mode="offline"))


def test_a_sweep_is_registered_online_and_its_id_kept_with_the_search(monkeypatch, tmp_path, caplog):
    document = {
        "method": "random",
        "metric": {"name": "objective", "goal": "maximize"},
        "parameters": {"a": {"value": 1}},
    }
    assert register_sweep(WandbTracking(), document, tmp_path, "trial/objective") is None, "offline"
    with fake_wandb() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        assert register_sweep(WandbTracking(project="mine"), document, tmp_path, "trial/objective") == "sweep123"
        told = server.asked[-1][1]
    assert told["projectName"] == "mine"
    assert "name: trial/objective" in told["config"]
    assert TrackersFile(tmp_path).read()["wandb"].ids == {"sweep": "sweep123"}
    assert register_sweep(WandbTracking(), document, tmp_path, "trial/objective") is None
    for error in (OSError(28, "No space left on device"), ConnectionResetError("gone")):
        monkeypatch.setattr(registered_sweep, "ask", lambda *_, error=error: (_ for _ in ()).throw(error))
        assert register_sweep(WandbTracking(), document, tmp_path, "trial/objective") is None, "the search goes on"
    with monkeypatch.context() as patched:  # the server has it, and its id finds no room
        patched.setattr(registered_sweep, "ask", lambda *_: {"upsertSweep": {"sweep": {"name": "another"}}})
        (tmp_path / "trackers.json").write_text("{")
        assert register_sweep(WandbTracking(), document, tmp_path, "trial/objective") is None
    assert "the sweep is not registered" in caplog.text
    assert KEY not in caplog.text
