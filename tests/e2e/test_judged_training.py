"""A training that is judged beside computes the bits of one that is not; what it finds is the same however it was
interrupted."""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import robonav_ray as rn
from robonav_ray.config import RunConfig
from robonav_ray.config.load import load_run_config
from robonav_ray.errors import UserError
from robonav_ray.evaluation.picture import load_curves
from robonav_ray.runs.checkpoint import newest_good_checkpoint, open_checkpoint
from robonav_ray.runs.checkpoint_index import INDEX_FILE, read_index
from robonav_ray.runs.located import find_policy
from robonav_ray.runs.run_directory import RunDirectory, create_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime import controller
from robonav_ray.runtime.budget import StopReason
from robonav_ray.runtime.judging import beside_training
from robonav_ray.runtime.judging.candidate import Candidate, judge_candidate
from robonav_ray.runtime.live import LiveRun, start_local
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.wiring import RunSession
from robonav_ray.tracking.jsonl import read_metrics
from tests.conftest import Robonav
from tests.e2e.test_local_wiring import SMALL
from tests.e2e.test_sessions import bits

pytestmark = pytest.mark.usefixtures("undrawn")

PLAIN = (*SMALL, "curriculum.force_stage=0", "tracking.backends=[jsonl]", "tracking.panel=off", "checkpoint.keep=1")
JUDGED = (*PLAIN, "evaluation.interval_s=0.02", "evaluation.judged_episodes=6")


def session_of(run: RunDirectory, config: RunConfig) -> RunSession:
    return RunSession(config, describe_task(config), run, newest_good_checkpoint(run.checkpoints)[0], time.monotonic())


def train(run: RunDirectory, words: tuple[str, ...], *until: int) -> None:
    """Train in sessions, each of which ends, finished, with so many env steps."""
    for max_env_steps in until:
        config = load_run_config(None, [*words, f"budget.max_env_steps={max_env_steps}"])
        with LiveRun(
            session_of(run, config), start_local, wiring_name="local", stop=StopRequest(), command=["t"]
        ) as alive:
            assert alive.finish().reason is StopReason.MAX_ENV_STEPS


@pytest.fixture
def said(robonav_here: Robonav) -> Callable[..., tuple[int, str]]:
    def call(*words: str) -> tuple[int, str]:
        code, out, err = robonav_here(*words)
        return code, " ".join((out + err).split())

    return call


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """One that was judged, in three sessions."""
    folder = tmp_path_factory.mktemp("judged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beside_training, "SHARE", 0.5)
        patch.setattr(beside_training, "COPY_SHARE", 0.5)
        patch.setattr(controller, "POLL_S", 0.02)
        made = create_run(load_run_config(None, list(JUDGED)), folder / "judged")
        train(made, JUDGED, 700, 1400, 2000)
    return made


def test_judging_changes_no_bit_of_the_training(run: RunDirectory, tmp_path: Path) -> None:
    plain = create_run(load_run_config(None, list(PLAIN)), tmp_path / "plain")
    train(plain, PLAIN, 2000)
    assert bits(plain) == bits(run)
    assert not (plain.path / INDEX_FILE).exists()


def test_judgements_are_kept_and_say_what_judging_anew_says(run: RunDirectory) -> None:
    index = read_index(run.path)
    steps = [judgement.env_steps for judgement in index.judgements]
    assert len(steps) >= 3
    assert steps == sorted(set(steps)), "none is made twice, over all sessions"
    newest, _ = newest_good_checkpoint(run.checkpoints)
    assert newest is not None
    assert steps[-1] == newest.counters.env_steps, "the last checkpoint is judged too"
    best = index.best
    assert best is not None
    found = Candidate.of_checkpoint(open_checkpoint(run.checkpoints / best.checkpoint))
    again = judge_candidate(found, session_of(run, run.config), lambda _: None)
    assert again == best
    assert best.stages == ("basic_navigation",), "the stage that the run is held in"
    logged = read_metrics(run.path / "metrics.jsonl")
    seen = [line["evaluation/env_steps"] for line in logged if "evaluation/env_steps" in line]
    assert set(seen) <= set(steps)
    assert seen[-1] == steps[-1]
    assert load_curves(run.path).judgements == index.judgements


def test_the_best_is_published_unless_the_last_is_asked_for(
    run: RunDirectory, said: Callable[..., tuple[int, str]]
) -> None:
    index = read_index(run.path)
    best, last = index.best, newest_good_checkpoint(run.checkpoints)[0]
    assert best is not None
    assert last is not None
    assert find_policy(run.path)[1].path.name == best.checkpoint
    assert find_policy(run.path, "last")[1].path == last.path
    assert rn.load_policy(run.path).env_steps == best.env_steps
    assert rn.load_policy(run.path, checkpoint="last").env_steps == last.counters.env_steps
    with pytest.raises(UserError, match="must be best or last"):
        rn.load_policy(run.path, checkpoint="newest")  # type: ignore[arg-type]
    for words, told in (
        ([str(run.path), "--checkpoint", "first"], "must be best or last"),
        ([str(last.path), "--checkpoint", "best"], "is one already"),
    ):
        code, text = said("evaluate", *words)
        assert (code, told in text) == (2, True), text
    code, text = said("runs", "show", str(run.path), "--json")
    assert json.loads(text)["best"]["checkpoint"] == best.checkpoint


def test_a_best_that_is_damaged_is_passed_over(
    run: RunDirectory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = load_run_config(None, list(PLAIN))
    other = create_run(config, tmp_path / "other")
    (other.path / INDEX_FILE).write_bytes((run.path / INDEX_FILE).read_bytes())
    newest = newest_good_checkpoint(run.checkpoints)[0]
    assert newest is not None
    other.checkpoints.mkdir()
    (other.checkpoints / newest.path.name).symlink_to(newest.path)
    best = read_index(run.path).best
    assert best is not None
    with pytest.raises(UserError, match=r"no such checkpoint|no whole checkpoint"), caplog.at_level(logging.WARNING):
        find_policy(other.path)
    if best.checkpoint != newest.path.name:
        assert "so the last is taken" in caplog.text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["evaluation.patience=3"], "evaluation.patience (3) would be ignored"),
        (["checkpoint.keep_best=false"], "checkpoint.keep_best (False) would be ignored"),
        (["evaluation.judged_episodes=10"], "evaluation.judged_episodes (10) would be ignored"),
        (["evaluation.interval_s=0"], "evaluation.interval_s"),
        (["evaluation.interval_s=5", "evaluation.patience=0"], "evaluation.patience"),
        (["evaluation.target_success=0.9"], "evaluation.target_success (0.9) would be ignored"),
        (["evaluation.interval_s=5", "evaluation.target_success=90"], "evaluation.target_success"),
        (["checkpoint.interval_episodes=0"], "checkpoint.interval_episodes"),
    ],
)
def test_settings_that_mean_nothing_are_refused(
    words: list[str], told: str, said: Callable[..., tuple[int, str]]
) -> None:
    code, text = said("config", "show", *words)
    assert (code, told in text) == (2, True), text
