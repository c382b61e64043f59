"""What trackers are told of a run: who began it, from which revisions, without what is secret."""

from __future__ import annotations

import json

import pytest

from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.config.tracking import TrackingConfig
from robonav_ray.files.locations import has_secret, without_secrets
from robonav_ray.runs.run_directory import create_run
from robonav_ray.tracking.run_facts import flat_config
from robonav_ray.tracking.tracked_run import run_facts


def test_tags_tell_who_began_a_run_and_no_secret(tmp_path):
    run = create_run(load_run_config(None, ["seed=7"]), tmp_path / "run")
    run.add_session(["robonav", "train", "env.kwargs.api_key=canary", "a=http://me:canary@host/?token=canary"], "local")
    facts = run_facts(run, run.config, resume_step=5)
    assert (facts.name, facts.kind, facts.group, facts.resume_step) == ("run", "train", None, 5)
    assert facts.tags["seed"] == "7"
    assert facts.tags["wiring"] == "local"
    assert facts.tags["command"].startswith("robonav train")
    assert "canary" not in json.dumps(dict(facts.tags))
    assert {"host", "git_revision"} <= facts.tags.keys()
    flat = flat_config(facts.config)
    assert flat["learner.batch_size"] == run.config.learner.batch_size
    assert flat["curriculum.stages.0.name"] == "basic_navigation"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:word@host:1/a", "http://...@host:1/a"),
        ("at http://me:w@rd/x@host, and s3://b/c", "at http://...@host, and s3://b/c"),
        ("https://host/?api_key=abc&x=1#f", "https://host/?api_key=...&x=1#f"),
        ("postgresql://u:p@h/db?sslpassword=q", "postgresql://...@h/db?sslpassword=..."),
    ],
)
def test_secrets_of_a_uri_are_not_shown(text, shown):
    assert without_secrets(text) == shown
    assert has_secret(text)


@pytest.mark.parametrize("text", ["sqlite:////home/me@work/mlflow.db", "http://host/a?b=c", "me@host", "a = b"])
def test_what_holds_no_secret_stays_as_it_is(text):
    assert without_secrets(text) == text


@pytest.mark.parametrize(
    "override",
    ["tracking.mlflow.tracking_uri=http://me:word@host", "tracking.mlflow=http://me:word@host",
     "tracking.mlflow.uri=http://me:word@host", "tracking.extra=http://me:word@host", "http://me:word@host",
     "tracking=http://me:word@host"],
)  # fmt: skip
def test_a_password_in_a_config_is_refused_and_not_shown(override):
    with pytest.raises(ConfigError) as refused:
        load_run_config(None, [override])
    assert "word" not in str(refused.value).lower().replace("password", "")


@pytest.mark.parametrize(
    ("overrides", "on"),
    [
        (["tracking.mlflow={}"], ["tensorboard", "mlflow"]),
        (["tracking.mlflow.experiment=mine", "tracking.wandb.mode=offline"], ["tensorboard", "mlflow", "wandb"]),
        (["tracking.mlflow={}", "tracking.mlflow=null", "tracking.tensorboard=null"], []),
        (["tracking.backends=[jsonl]"], []),
        (["tracking.backends=[tensorboard]", "tracking.tensorboard.flush_s=3"], ["tensorboard"]),
        (["tracking.tensorboard={flush_s: 3}", "tracking.backends=[jsonl]", "tracking.wandb={}"], ["wandb"]),
    ],
)
def test_sections_are_switched_on_and_off_by_overrides(overrides, on):
    config = load_run_config(None, overrides).tracking
    sections = {name: vars(config)[name] for name in ("tensorboard", "mlflow", "wandb")}
    assert [name for name, section in sections.items() if section is not None] == on


def test_configs_of_earlier_runs_are_read():
    before = TrackingConfig.model_validate({"backends": ["jsonl", "tensorboard"], "interval_s": 3.0})
    assert before == TrackingConfig(interval_s=3.0)
    assert TrackingConfig.model_validate({"backends": []}).tensorboard is None
