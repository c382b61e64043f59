"""A run with a league: stop and resume gives the same bits, members included; what is lost is gone on without."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.config.load import load_run_config
from robonav_ray.league.promotion import OWN
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointWriter, Counters, open_checkpoint
from robonav_ray.runtime.local import LocalWiring
from robonav_ray.runtime.self_play.match_process import MatchResult
from robonav_ray.runtime.self_play.matches import GateOrder, Order
from tests.e2e.test_local_wiring import SMALL, assert_same_bits, bits, flat, wiring

LEAGUE = [
    *SMALL,
    "env.world.num_robots=3",
    "rollout.num_worlds=4",
    "league.snapshot_env_steps=700",
    "league.capacity=3",
    "league.mix={current: 0.3, prioritised: 0.4, scripted: 0.15, verification: 0.15}",
]
PROMOTED = [
    *LEAGUE,
    "league.promotion={num_worlds: 10, interval_env_steps: 2000}",
    "league.num_gate_worlds=10",
    "curriculum.stages.0.gate={min_success_frac: 0.0, min_partner_success_frac: 0.6}",
]
ROUNDS = 40


def everything(run: LocalWiring) -> dict[str, np.ndarray]:
    assert run.league is not None
    return bits(run) | flat(run.league.league.state_dict(), "league")


def saved(run: LocalWiring, folder: Path, name: str) -> Checkpoint:
    writer = CheckpointWriter(folder / "checkpoints", Counters(env_steps=run.env_steps), name=name)
    run.save(writer)
    return open_checkpoint(writer.commit().path)


class MadeUpMatch:
    """A match whose outcomes are a function of who plays, and which is over at the third question."""

    def __init__(self, order: Order) -> None:
        self._order, self._asked = order, 0
        if isinstance(order, GateOrder):
            self._is_better = int(str(order.member.sha256)[:8], 16) % 3 > 0
        else:
            self._is_better = int(str(order.challenger.sha256)[8:16], 16) % 2 > 0

    def result(self, wait_s: float = 0.0) -> MatchResult | None:
        self._asked += 1
        if self._asked < 3:
            return None
        companies = [OWN, *(anchor.id for anchor in self._order.anchors)]
        if isinstance(self._order, GateOrder):
            worst = 0.7 if self._is_better else 0.5
            shown = dict.fromkeys(companies, 0.9) | {"straight": worst}
            return MatchResult({}, "", 1.0, 1.0, success_frac=shown)
        won, lost = np.ones(10, bool), np.zeros(10, bool)
        both = (won, lost) if self._is_better else (lost, won)
        return MatchResult(dict.fromkeys([*companies, self._order.best.id], both), "", 1.0, 1.0, won)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("cuts", [(9, 19, 28)])
def test_stop_and_resume_is_as_if_never_stopped(
    tmp_path: Path, cuts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a member has left the pool, and is still in an episode that is under way (cut 19), and where a match
    is played, for the place of the best or for the gate of a stage, which opens by that alone.
    """
    monkeypatch.setattr("robonav_ray.runtime.self_play.run_league.MatchProcess", MadeUpMatch)
    config = load_run_config(None, PROMOTED)
    straight, rest = wiring(tmp_path / "straight", config), wiring(tmp_path / "halting", config)
    challenged, gated = list[bool](), list[bool]()
    for i in range(ROUNDS):
        straight.round()
        if i in cuts:
            assert rest.league is not None
            challenged.append(rest.league.league.challenged is not None)
            gated.append(rest.curriculum.partner_match is not None)
            rest = wiring(tmp_path / "halting", config, saved(rest, tmp_path / "halting", f"cut-{i}"))
        rest.round()
    assert straight.league is not None
    league = straight.league.league
    assert len(league.pool.snapshots) == 3
    assert len(league.pool.lineage) > 6, "members have left, and came"
    met = {league.payoff.ids[i] for i in np.flatnonzero(league.payoff.played[0])}
    assert {"main", "orca", "social_force", "straight"} < met, "and snapshots"
    assert straight.learner_state.learner_step > 20
    assert any(challenged), "a match was under way at a cut"
    assert any(gated), "one for the gate too"
    events = [json.loads(line) for line in (tmp_path / "straight" / "events.jsonl").read_text().splitlines()]
    played = [event["detail"] for event in events if event["event"] == "played"]
    assert {told[-34:] for told in played[:-1]} == {"50% beside straight (at least 60%)"}
    assert played[-1].endswith("70% beside straight (at least 60%)")
    first, *_ = straight.curriculum.progress().transitions
    assert (first.reason, first.to_stage) == ("gate", 1)
    assert first.num_gate_episodes > 4, "the window alone did not open it"
    assert {"promoted", "kept"} < {event.event for event in league.events}
    assert_same_bits(everything(straight), everything(rest))


def test_a_damaged_snapshot_is_lost_with_an_event_and_the_run_goes_on(tmp_path: Path) -> None:
    config = load_run_config(None, LEAGUE)
    run = wiring(tmp_path, config)
    for _ in range(12):
        run.round()
    checkpoint = saved(run, tmp_path, "cut")
    weights = sorted((tmp_path / "league" / "snapshots").iterdir())
    assert len(weights) >= 2
    for path in weights:
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    run = wiring(tmp_path, config, checkpoint)
    for _ in range(12):
        run.round()
    assert run.league is not None
    lost = {event.member for event in run.league.league.events if event.event == "lost"}
    assert lost
    assert run._facts().metrics["league/lost"] == len(lost)
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    told = [event for event in events if event["event"] == "lost"]
    assert {event["part"] for event in told} == {f"league/{member}" for member in lost}
    assert all("damaged" in event["detail"] for event in told)


KILLED = """
import json, os, random, signal, sys, threading
from pathlib import Path
import numpy as np
from robonav_ray.config.load import load_run_config
from robonav_ray.runs.checkpoint import Counters, CheckpointWriter, newest_good_checkpoint
from tests.e2e.test_league_resume import PROMOTED, ROUNDS, everything
from tests.e2e.test_local_wiring import wiring

folder, kills = Path(sys.argv[1]), int(sys.argv[2])
config, rng = load_run_config(None, PROMOTED), random.Random(4)
straight = wiring(folder / "straight", config)
for _ in range(ROUNDS):
    straight.round()

def go_on(until_killed):
    checkpoint = newest_good_checkpoint(folder / "killed" / "checkpoints")[0]
    run = wiring(folder / "killed", config, checkpoint)
    begun = 0 if checkpoint is None else checkpoint.counters.learner_steps  # rounds are noted there
    last = begun + rng.randrange(4) if until_killed else ROUNDS
    for i in range(begun, ROUNDS):
        if i == last:
            threading.Timer(rng.uniform(0.0, 0.08), os.kill, (os.getpid(), signal.SIGKILL)).start()
        run.round()
        if i % 2:
            writer = CheckpointWriter(folder / "killed" / "checkpoints", Counters(run.env_steps, i + 1))
            run.save(writer)
            writer.commit()
    return run

(folder / "killed").mkdir()
died = 0
for _ in range(kills):
    child = os.fork()
    if child == 0:
        go_on(True)
        os._exit(0)
    rng.random()
    died += os.WIFSIGNALED(os.waitpid(child, 0)[1])
run = go_on(False)
one, other = everything(straight), everything(run)
different = [name for name in one if not np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f")]
judged = straight.league.league.num_judged
print(json.dumps({"judged": judged, "died": died, "same_names": one.keys() == other.keys(), "different": different}))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_ten_instants_and_resumed_the_league_is_the_same(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), "10"], capture_output=True, text=True, check=False, timeout=500
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["judged"] >= 2
    assert report["died"] >= 3, "the others were through before"
    assert report["same_names"]
    assert report["different"] == []
