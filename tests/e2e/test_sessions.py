"""Three short sessions that were interrupted end with the bits of one long one (the one-process wiring)."""

import logging
import time
from pathlib import Path
from typing import Any

from robonav_ray.config.load import load_run_config
from robonav_ray.interfaces import Tracker
from robonav_ray.runs.checkpoint import newest_good_checkpoint
from robonav_ray.runs.run_directory import RunDirectory, create_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.budget import StopReason
from robonav_ray.runtime.live import LiveRun, start_local
from robonav_ray.runtime.signals import StopRequest
from robonav_ray.runtime.wiring import RunSession, Wiring
from tests.e2e.test_local_wiring import SMALL

CONFIG = load_run_config(
    None,
    [
        *SMALL,
        "budget.max_env_steps=6000",
        "checkpoint.interval_s=0.3",
        "tracking.backends=[jsonl]",
        "tracking.panel=off",
    ],
)


def start(session: RunSession) -> tuple[Wiring, list[Tracker]]:
    logging.getLogger("parts").warning("starting at %d", session.counters.env_steps)
    return start_local(session)


def live(run: RunDirectory, stop_at: int | None) -> StopReason:
    """One session, interrupted once it has come to ``stop_at`` env steps."""
    stop = StopRequest()
    session = RunSession(
        CONFIG, describe_task(CONFIG), run, newest_good_checkpoint(run.checkpoints)[0], time.monotonic()
    )
    with LiveRun(session, start, wiring_name="local", stop=stop, command=["test"]) as alive:
        if stop_at is not None:
            assert alive.advance(stop_at) is None
            stop.signal_name = "SIGTERM"
            ending = alive.advance(stop_at)  # notices the signal after one more round, however fast the machine is
            assert ending is not None
            return ending.reason
        return alive.finish().reason


def bits(run: RunDirectory) -> dict[str, Any]:
    """Hashes of everything saved that does not tell the time."""
    checkpoint, damaged = newest_good_checkpoint(run.checkpoints)
    assert checkpoint is not None
    assert damaged == []
    files = checkpoint.read_json("manifest.json")["files"]
    hashes = {name: files[name]["sha256"] for name in files if name not in ("curriculum.json", "counters.json")}
    return hashes | {"env_steps": checkpoint.counters.env_steps, "learner_steps": checkpoint.counters.learner_steps}


def test_three_short_sessions_are_one_long_one(tmp_path: Path) -> None:
    long, short = create_run(CONFIG, tmp_path / "long"), create_run(CONFIG, tmp_path / "short")
    assert live(long, None) is StopReason.MAX_ENV_STEPS
    assert [live(short, at) for at in (1500, 4000, None)] == [
        StopReason.SIGNAL,
        StopReason.SIGNAL,
        StopReason.MAX_ENV_STEPS,
    ]
    one, other = bits(long), bits(short)
    assert one["learner_steps"] > 200
    assert any(name.startswith("replay/shard_001/") for name in one)
    assert one == other
    log = (short.path / "log.txt").read_text()
    starts = [int(line.rpartition(" ")[2]) for line in log.splitlines() if "WARNING parts: starting at" in line]
    assert len(starts) == 3, "what was logged before a checkpoint was taken up is in the log too, once"
    assert starts[0] == 0
    assert starts[1] >= 1500
