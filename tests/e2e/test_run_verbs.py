"""What is done with runs that are there: list, show, gc, plot, a new run from their weights. All through ``main()``, in
this process."""

import io
import json
from pathlib import Path

import pytest

from robonav_ray.runs.checkpoint import list_checkpoints
from tests.conftest import Robonav
from tests.made_up_runs import TINY, make_run

pytestmark = pytest.mark.usefixtures("undrawn")

SHORT = [
    *TINY, "rollout.num_worlds=4", "replay.capacity=3000", "replay.min_size=300", "learner.batch_size=32",
    "budget.max_env_steps=600", "evaluation.num_episodes=4", "evaluation.num_worlds=4", "evaluation.gif_episodes=0",
    "tracking.panel=off",
]  # fmt: skip


@pytest.fixture
def robonav(robonav_here: Robonav, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Robonav:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return robonav_here


def test_list_shows_a_table_of_80_columns_or_json(robonav: Robonav, tmp_path: Path) -> None:
    assert robonav("runs", "list")[:2] == (0, "no runs in runs; `robonav train` begins one\n")
    make_run(
        tmp_path / "runs" / "curriculum-20261122-181500-of-a-long-name",
        [*TINY, "seed=2147483647"],
        steps=[123456789],
        success=0.5,
    )
    make_run(tmp_path / "runs" / "asha" / "trials" / "00000", steps=[])
    code, out, _ = robonav("runs", "list")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "asha/trials/00000" in out
    assert "50.0%" in out
    code, out, _ = robonav("runs", "list", "runs", "--json")
    assert [(run["steps"], run["success"]) for run in json.loads(out)] == [(0, None), (123456789, 0.5)]
    assert robonav("runs", "list", "nowhere")[0] == 2


def test_show_tells_one_run(robonav: Robonav, tmp_path: Path) -> None:
    make_run(tmp_path / "a", success=0.5)
    code, out, _ = robonav("runs", "show", "a")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "env-000000000200" in out
    facts = json.loads(robonav("runs", "show", "a", "--json")[1])
    assert (facts["status"], facts["steps"], facts["env"]) == ("finished", 200, "CartPole-v1")
    assert facts["checkpoints_bytes"] > 80_000
    code, _, err = robonav("runs", "show", "b")
    assert code == 2
    assert "not a run directory" in err


def test_gc_says_the_bytes_asks_and_leaves_alone_what_it_must(
    robonav: Robonav, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, other = make_run(tmp_path / "runs" / "good"), make_run(tmp_path / "runs" / "other", status="unfinished")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    code, out, err = robonav("runs", "gc")
    assert code == 2
    assert "--yes" in err
    assert "kB  runs/good" in out
    assert "1 left alone" in out
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, out, err = robonav("runs", "gc")
    assert code == 0
    assert "nothing is freed" in out
    assert "of 1 run, and keep" in err
    assert len(list_checkpoints(good.checkpoints)) == len(list_checkpoints(other.checkpoints)) == 2
    code, out, _ = robonav("runs", "gc", "--yes", "--json")
    assert code == 0
    assert json.loads(out)["freed_bytes"] > 80_000
    assert json.loads(out)["left_alone"] == 1
    assert robonav("runs", "gc", "--yes")[1].endswith("nothing to free\n")
    code, _, err = robonav("runs", "gc", "runs/other", "--yes")
    assert code == 2
    assert "has not finished" in err
    assert robonav("runs", "gc", "runs/other", "--yes", "--force")[0] == 0
    assert len(list_checkpoints(other.checkpoints)) == 1
    code, _, err = robonav("train", "--local", "--resume", "runs/good")
    assert code == 2
    assert "holds the policy alone" in err
    assert "Traceback" not in err


def test_shipped_configs_are_listed(robonav: Robonav) -> None:
    code, out, _ = robonav("config", "list")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "ten_minutes" in out
    assert "asha" in out
    assert {"quick", "pbt"} <= {config["name"] for config in json.loads(robonav("config", "list", "--json")[1])}
    assert json.loads(robonav("config", "show", "quick", "--json")[1])["name"] == "quick"


def test_plot_draws_a_stopped_run_also_of_a_storage(robonav: Robonav, tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", status="unfinished", steps=[100], storage=str(tmp_path / "storage"))
    assert robonav("plot", "a")[:2] == (0, "written: a/curves.png\n")
    assert (run.path / "curves.png").read_bytes()[:4] == b"\x89PNG"
    assert robonav("plot", (tmp_path / "storage" / "a").as_uri())[:2] == (0, "written: a-curves.png\n")
    assert (tmp_path / "a-curves.png").read_bytes()[:4] == b"\x89PNG"
    assert robonav("plot", "a", "--output", "x.svg")[1] == "written: x.svg\n"
    code, out, err = robonav("plot", "a", "--json")
    assert (code, json.loads(out)["written"]) == (0, [str(tmp_path / "a" / "curves.png")])
    assert err == "written: a/curves.png\n"
    (run.path / "metrics.jsonl").unlink()
    for words, told in (
        (["plot", "a"], "a/metrics.jsonl holds no metrics"),
        (["plot", "b"], "not a run directory"),
        (["plot", "a", "--output", "x.exe"], "name a picture"),
        (["plot", (tmp_path / "storage" / "b").as_uri()], "is not a stored run"),
    ):
        code, _, err = robonav(*words)
        assert code == 2
        assert told in err


def test_train_begins_with_the_weights_of_another_run(robonav: Robonav, tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    code, out, err = robonav("train", "--local", "--out", "b", "--init-from", "a", *SHORT)
    assert code == 0, err
    assert "begins with the weights of a after 200 env steps: 4 of 4 tensors" in out
    facts = json.loads((tmp_path / "b" / "run.json").read_text())
    assert facts["init_from"]["checkpoint"] == "env-000000000200"
    assert facts["sessions"][0]["seed"] == 0
    first = json.loads((tmp_path / "b" / "metrics.jsonl").read_text().partition("\n")[0])
    assert first["step"] >= 0
    code, _, err = robonav("train", "--local", "--resume", "b", "--init-from", "a")
    assert code == 2
    assert "leave one of the two away" in err


@pytest.mark.parametrize(("least", "code"), [("0.99", 1), pytest.param("0", 0, marks=pytest.mark.slow)])
def test_min_success_sets_the_exit_code_and_changed_worlds_are_told(
    robonav: Robonav, tmp_path: Path, least: str, code: int
) -> None:
    make_run(tmp_path / "a", ["algo.hidden_dims=[8]"], steps=[100])
    few = ["--episodes", "4", "--stages", "full_challenge", "evaluation.num_worlds=4"]
    given, out, err = robonav("evaluate", "a", *few, "env.world.difficulty=fast", "--min-success", least, "--json")
    assert given == code, err
    report = json.loads(out)
    assert report["levels"][-1]["summary"]["num_episodes"] == 4
    assert any("env.world.difficulty" in change and "fast" in change for change in report["changes"])
    assert json.loads((tmp_path / report["written"][0]).read_text())["changes"] == report["changes"]
    assert ("below --min-success 99.0%" in err) == bool(code)
    assert "difficulty" in (tmp_path / report["written"][1]).read_text()


def test_a_policy_alone_is_judged_and_without_success_nothing_is_held(robonav: Robonav, tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    assert robonav("runs", "gc", "a", "--yes")[0] == 0
    code, out, err = robonav("evaluate", "a", "--episodes", "2", "evaluation.num_worlds=2", "--min-success", "0.5")
    assert code == 2
    assert "tells no success" in err
    assert "mean return" in out
    code, _, err = robonav("evaluate", "a", "learner.batch_size=3")
    assert code == 2
    assert "learner.batch_size" in err
