"""The caller of a search has its own environment and its own loggers back afterwards."""

from __future__ import annotations

import logging
import os

import pytest

from robonav_ray.config.load import load_tuning_config
from robonav_ray.tuning.tune_variables import prepared_tune


def test_what_tune_reads_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_GLOBAL_CHECKPOINT_S", "7")
    monkeypatch.delenv("TUNE_MAX_PENDING_TRIALS_PG", raising=False)
    logger, before = logging.getLogger("ray.tune"), dict(os.environ)
    logger.setLevel(logging.ERROR)
    space = "space={learner.learning_rate: {loguniform: [1e-4, 1e-2]}}"
    config = load_tuning_config(None, [space, "scheduler={kind: pbt}", "num_trials=3"])

    def search() -> None:
        with prepared_tune(config):
            assert (os.environ["TUNE_GLOBAL_CHECKPOINT_S"], os.environ["TUNE_MAX_PENDING_TRIALS_PG"]) == ("3600", "3")
            assert logger.level == logging.CRITICAL
            raise RuntimeError

    with pytest.raises(RuntimeError):
        search()
    assert (dict(os.environ), logger.level) == (before, logging.ERROR)
