"""A search that cannot work is refused before a Ray is started: one message, exit code 2, nothing made."""

import sys
from pathlib import Path

import pytest

from robonav_ray.cli import main
from tests.ray.test_tuning import SMALL


@pytest.mark.parametrize(
    ("overrides", "messages"),
    [
        (["space.learner.learning_rat={uniform: [0, 1]}"], ["space.learner.learning_rat", "learner.learning_rate"]),
        (["space.algo.gamma={uniform: [0.9, 0.99]}", "scheduler={kind: pbt}"], ["space.algo.gamma", "already folded"]),
        (["scheduler.kind=pbt", "scheduler.grace_env_steps=7"], ["would be ignored"]),
        (["search.method=grid"], ["space.learner.learning_rate", "no end of values"]),
        (["run.learner.batch_size=0"], ["batch_size"]),
        (["num_trails=3"], ["did you mean 'num_trials'"]),
    ],
)
def test_what_cannot_work_is_refused_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    overrides: list[str],
    messages: list[str],
) -> None:
    search = tmp_path / "search"
    monkeypatch.setattr(
        sys, "argv", ["robonav", "tune", *SMALL, "trial.max_env_steps=200_000", *overrides, "--out", str(search)]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err
    assert ended.value.code == 2, told
    for message in messages:
        assert message in " ".join(told.split())
    assert "Traceback" not in told
    assert not search.exists()
