"""One Ray session for the whole suite, private to it; nothing here touches a Ray that somebody else runs."""

import os

os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ.pop("RAY_ADDRESS", None)

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """A local Ray with more logical CPUs than the machine has, so that small actors always fit."""
    import ray

    ray.init(
        address="local",
        num_cpus=8,
        include_dashboard=False,
        object_store_memory=150_000_000,
        log_to_driver=False,
        _system_config={"metrics_report_interval_ms": 1000},  # 10 s by default; a test waits for what is exported
    )
    yield
    ray.shutdown()
