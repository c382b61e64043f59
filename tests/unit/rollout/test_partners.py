"""Worlds that are shared with other policies: who acts where for a whole episode, and what is recorded of it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from robonav_ray.algo.policy import Policy
from robonav_ray.records import Assignment, Opponents, PolicySnapshot
from robonav_ray.rollout.member_policies import MemberPolicies
from robonav_ray.rollout.partners import Partners, PartnersTask
from robonav_ray.rollout.seats import Odds, draw_seating, seats_key
from robonav_ray.rollout.worker import RolloutWorker
from robonav_ray.worlds.kernels.adversary import OBSTACLE
from tests.telling_worlds import ALGO, NUM_ACTIONS, OBS_DIM, Ears, make, rows_of, snapshot

OPPONENTS = Opponents(
    serial=1,
    member=("a", "b", "c", "orca"),
    driver=(0, 0, 0, 1),
    share=(0.25, 0.5, 0.25),
    probability=((0.0,) * 4, (0.2, 0.3, 0.5, 0.0), (0.0, 0.0, 0.0, 1.0)),
)
ACTS = {"a": 1, "b": 2, "c": 3, "orca": 101}
"""What each member always does, in the eyes of the worlds; the learning policy takes action 0."""


class Shelf:
    """A pool of snapshots in memory, and how often each was asked for."""

    def __init__(self, snapshots: Mapping[str, PolicySnapshot]) -> None:
        self.snapshots, self.asked = dict(snapshots), Counter[str]()

    def snapshot(self, member: str) -> PolicySnapshot | None:
        self.asked[member] += 1
        return self.snapshots.get(member)


def always(action: int) -> PolicySnapshot:
    """Return weights whose greedy action is ``action`` for every observation."""
    made = snapshot()
    arrays = [np.zeros_like(array) for array in made.arrays]
    arrays[made.names.index("head.bias")][action - NUM_ACTIONS] = 1.0
    return PolicySnapshot(1, 0, made.names, tuple(arrays))


def shelf() -> Shelf:
    return Shelf({member: always(ACTS[member]) for member in "abc"})


def task(pool: Shelf | None = None, robots: int = 4, most: int = 2) -> PartnersTask:
    return PartnersTask(pool or shelf(), lambda: Policy(OBS_DIM, NUM_ACTIONS, ALGO), robots, most)


def ears(own: PolicySnapshot | None = None, epsilon: float = 0.0, opponents: Opponents = OPPONENTS) -> Ears:
    made = Ears(own or always(0))
    made.assignment = Assignment(stage=0, epsilon=epsilon, clock=0, serial=0, opponents=opponents)
    return made


Seen = dict[tuple[int, int], set[int]]
"""(lane, episode) -> what was done there."""


def watch(worker: RolloutWorker, seen: Seen) -> RolloutWorker:
    """Note what each lane does in each of its episodes."""
    env: Any = worker._env
    step = env.step

    def noting(actions: np.ndarray) -> Any:
        for i in np.flatnonzero(~env.waits).tolist():
            done = int(100 + env.driver[i] if env.driver[i] else actions[i])
            seen.setdefault((int(env.world[i]), int(env.episode[i])), set()).add(done)
        return step(actions)

    env.step = noting
    return worker


@pytest.fixture(scope="module")
def played() -> tuple[Ears, Seen, RolloutWorker, int]:
    """Return 200 vector steps of two worlds with four robots each."""
    heard, seen = ears(), Seen()
    worker = watch(make(heard, robots=4, partners=task()), seen)
    env_steps = sum(worker.collect().env_steps for _ in range(200))
    return heard, seen, worker, env_steps


def test_a_lane_is_one_policys_for_its_whole_episode(played: tuple[Ears, Seen, RolloutWorker, int]) -> None:
    _, seen, _, _ = played
    assert len(seen) > 1000
    assert all(len(done) == 1 for done in seen.values())
    shared: dict[tuple[int, int], list[int]] = {}
    for (lane, episode), (done,) in sorted(seen.items()):
        shared.setdefault((lane // 4, episode), []).append(done)
    full = [tuple(robots) for robots in shared.values() if len(robots) == 4]
    assert all(0 in robots and len(set(robots) - {0}) <= 1 for robots in full), "one member a world, and a learner"
    assert {done for robots in full for done in robots} == {0, *ACTS.values()}
    taken = Counter(tuple(done > 0 for done in robots) for robots in full)
    assert len(taken) == 15, "each set of seats but all of them"
    assert 0.15 < taken[(False,) * 4] / len(full) < 0.35


def test_only_lanes_that_learn_are_recorded(played: tuple[Ears, Seen, RolloutWorker, int]) -> None:
    heard, seen, worker, env_steps = played
    learned = {lane for lane, done in seen.items() if done == {0}}
    rows = rows_of(heard)
    lanes = [tuple(key) for key in rows["obs"][:, :2].astype(int).tolist()]
    assert set(lanes) <= learned
    assert set(rows["action"].tolist()) == {0}
    steps = Counter(lanes)
    over = {lane for lane in learned if steps[lane] == 3 + lane[0] % 5}
    assert {(lane, episode) for lane, episode in learned if (lane, episode + 1) in seen} <= over
    assert len(over) > 500
    assert len(lanes) < 0.8 * env_steps, "the others' steps are counted too: they cost as much"
    results = heard.results
    world, seat, member, length = (
        np.concatenate([getattr(r, name) for r in results]) for name in ("world", "seat", "member", "length")
    )
    assert len(world) == len(over) == sum(r.num_episodes for r in results)
    np.testing.assert_array_equal(seat, world % 4)
    np.testing.assert_array_equal(length, 3 + world % 5)
    assert set(member) == {"", *ACTS}
    episode = {lane: iter(sorted(e for w, e in over if w == lane)) for lane in range(8)}
    for lane, met in zip(world.tolist(), member.tolist(), strict=True):
        mine = next(episode[lane])
        others = {done for w in range(lane // 4 * 4, lane // 4 * 4 + 4) for done in seen[w, mine]} - {0}
        assert others == ({ACTS[met]} if met else set())
    assert results[-1].watermark >= worker._book.clock - 8, "no watermark waits for a lane that is not recorded"


def test_lanes_that_do_not_learn_are_greedy() -> None:
    heard, seen = ears(epsilon=1.0), Seen()
    worker = watch(make(heard, robots=4, partners=task()), seen)
    for _ in range(20):
        worker.collect()
    lanes = {tuple(key) for key in rows_of(heard)["obs"][:, :2].astype(int).tolist()}
    others = {lane: done for lane, done in seen.items() if lane not in lanes}
    assert len(others) > 20
    assert all(len(done) == 1 for lane, done in others.items() if (lane[0], lane[1] + 1) in seen)
    assert len({action for lane in lanes for action in seen[lane]}) == NUM_ACTIONS


def rich() -> tuple[Ears, Shelf]:
    """Return ears and a pool whose policies look at what they see, at some exploration."""
    return ears(snapshot(9), 0.3), Shelf({member: snapshot(i) for i, member in enumerate("abc")})


def test_sharing_worlds_out_differently_changes_nothing() -> None:
    def rows_sorted(workers: int) -> tuple[list[np.ndarray], list[tuple[Any, ...]]]:
        heard, pool = rich()
        each = 8 // workers
        for w in range(workers):
            worker = make(heard, first=w * each, num=each, worker=w, robots=2, partners=task(pool, 2, 1))
            for _ in range(15):
                worker.collect()
        rows = rows_of(heard)
        order = np.lexsort(rows["obs"][:, :3].T)
        episodes = sorted(
            one
            for r in heard.results
            if r.member is not None and r.seat is not None
            for one in zip(r.world.tolist(), r.started_at.tolist(), r.member.tolist(), r.seat.tolist(), strict=True)
        )
        return [rows[k][order] for k in ("obs", "action", "reward", "next_obs", "discount")], episodes

    one, episodes = rows_sorted(1)
    assert {member for _, _, member, _ in episodes} == {"", *ACTS}
    for workers in (2, 4):
        many, theirs = rows_sorted(workers)
        for a, b in zip(one, many, strict=True):
            np.testing.assert_array_equal(a, b)
        assert theirs == episodes


def test_a_saved_worker_goes_on_with_the_same_bits() -> None:
    (straight, pool), (first, _), (second, _) = rich(), rich(), rich()
    worker, half = (make(heard, robots=4, partners=task(pool)) for heard in (straight, first))
    for _ in range(11):
        worker.collect()
    for _ in range(6):
        half.collect()
    state = half.state_dict()
    assert (state["partners_member"] != "").any()
    rest = make(second, robots=4, partners=task(pool))
    rest.load_state_dict(state)
    for _ in range(5):
        rest.collect()
    for a, b in zip(straight.fragments[6:], second.fragments, strict=True):
        for x, y in zip((*a.columns, a.priority), (*b.columns, b.priority), strict=True):
            np.testing.assert_array_equal(x, y)
    for a, b in zip(straight.results[6:], second.results, strict=True):
        assert a.member is not None
        assert b.member is not None
        assert (a.member.tolist(), a.watermark) == (b.member.tolist(), b.watermark)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"partners_member": np.array(["a\n", ""])}, "no member's id"),
        ({"partners_member": np.array(["a", "b", "c"])}, "names of 2 members"),
        ({"partners_learns": np.zeros(8, np.bool_)}, "no robot learns"),
        ({"partners_learns": np.ones(8, np.bool_)}, "does not fit the members"),
        ({"partners_episode": np.array([0, -1])}, r"partners_episode\[1\] is -1"),
        ({"partners_driver": np.array([-1, 0], np.int8)}, r"partners_driver\[0\] is -1"),
    ],
)
def test_a_state_out_of_range_is_refused(change: dict[str, np.ndarray], match: str) -> None:
    only = Opponents(1, ("a",), (0,), (1.0,), ((1.0,),))
    worker = make(ears(opponents=only), robots=4, partners=task())
    worker.collect()
    with pytest.raises(ValueError, match=match):
        make(ears(), robots=4, partners=task()).load_state_dict({**worker.state_dict(), **change})


def test_a_state_without_a_league_does_not_pass_for_one_with() -> None:
    alone, shared = make(ears(), robots=4), make(ears(), robots=4, partners=task())
    for state, other in ((alone.state_dict(), shared), (shared.state_dict(), alone)):
        with pytest.raises(ValueError, match="resume with the league section as it was"):
            other.load_state_dict(state)


def test_a_member_without_weights_is_told_of_and_its_seats_learn() -> None:
    gone = Opponents(1, ("gone", "other"), (0, 0), (1.0,), ((0.5, 0.5),))
    odd = PolicySnapshot(1, 0, ("w",), (np.zeros(3, np.float32),))
    heard, seen = ears(opponents=gone), Seen()
    worker = watch(make(heard, robots=4, partners=task(Shelf({"other": odd}))), seen)
    stats = worker.collect()
    for _ in range(10):
        stats = stats.plus(worker.collect())
    assert stats.missing["gone"] == "the pool has no snapshot of it"
    assert "do not fit the network" in stats.missing["other"]
    assert all(done == {0} for done in seen.values())
    assert {member for r in heard.results if r.member is not None for member in r.member} == {""}
    assert sum(f.num_rows for f in heard.fragments) == stats.env_steps - worker._recording.folder.num_waiting


def test_a_member_whose_snapshot_is_gone_at_a_resume_is_stood_in_for_unrecorded() -> None:
    only = Opponents(1, ("a",), (0,), (1.0,), ((1.0,),))
    first = make(ears(opponents=only), robots=4, steps=2, partners=task())
    first.collect()
    state = first.state_dict()
    heard, seen = ears(opponents=only), Seen()
    again = watch(make(heard, robots=4, steps=1, partners=task(Shelf({}))), seen)
    again.load_state_dict(state)
    assert "a" in again.collect().missing
    assert all(done == {0} for done in seen.values())
    learns = set(np.flatnonzero(state["partners_learns"]).tolist())
    assert set(rows_of(heard)["obs"][:, 0].astype(int).tolist()) <= learns


def test_worlds_that_cannot_drive_refuse_scripted_members() -> None:
    lanes = np.arange(4, dtype=np.int64)
    with pytest.raises(ValueError, match="cannot"):
        Partners(task(), lanes, 0, None).meet(OPPONENTS)
    for robots, first in ((1, 0), (3, 0), (4, 2)):
        with pytest.raises(ValueError, match="several robots"):
            Partners(task(robots=robots), lanes + first, 0, None)


def test_an_episode_begins_when_a_robot_wakes_or_ends_and_goes_on() -> None:
    """Also where the next one has more robots, or fewer."""
    partners = Partners(task(), np.arange(4, dtype=np.int64), 0, None)
    partners.meet(Opponents(1, ("a",), (0,), (1.0,), ((1.0,),)))
    two, four = np.array([True, True, False, False]), np.ones(4, np.bool_)
    last = np.array([False, True, False, False])
    partners.begin_all(two)
    first = partners.learns
    assert first[2:].all()
    assert first[:2].sum() == 1
    partners.begin_anew(~four, two, two)
    partners.begin_anew(np.array([True, False, False, False]), two, last)
    assert partners.learns is first, "one has ended, and waits for the other"
    partners.begin_anew(last, last, four)
    assert partners.state_dict()["episode"].tolist() == [1]
    partners.begin_anew(four, four, two)
    assert partners.state_dict()["episode"].tolist() == [2]
    assert partners.learns[2:].all()


def test_policies_are_loaded_once_and_the_least_recently_used_dropped() -> None:
    pool = shelf()
    held = MemberPolicies(pool, task().make_policy, 2)
    for member in "abac":
        assert held.get(member) is not None
    held.drop_beyond_limit(())
    assert held.members == ("a", "c")
    held.get("b")
    held.drop_beyond_limit(("a", "b", "c"))
    assert held.members == ("a", "c", "b"), "none of those under way is dropped"
    held.drop_beyond_limit(("a",))
    assert held.members == ("a", "b")
    assert pool.asked == {"a": 1, "b": 2, "c": 1}
    assert held.get("nobody") is None
    assert "nobody" in held.missing


def test_seats_are_drawn_as_the_shares_say() -> None:
    odds, key, num = Odds(OPPONENTS), seats_key(5), 6000
    exists = np.array([True, False, True, True])
    met, taken = Counter[int | None](), Counter[tuple[bool, ...]]()
    for i in range(num):
        seating = draw_seating(odds, key, i % 60, i // 60, exists)
        met[seating.member] += 1
        taken[tuple(seating.taken.tolist())] += 1
    expected = {None: 0.25, 0: 0.1, 1: 0.15, 2: 0.25, 3: 0.25}
    assert chisquare([met[m] for m in expected], [num * p for p in expected.values()]).pvalue > 1e-3
    assert taken.pop((False,) * 4) == met[None]
    assert not any(seats[1] for seats in taken), "a robot that is not in the episode has no seat"
    assert len(taken) == 6
    assert chisquare(list(taken.values())).pvalue > 1e-3
    alone = draw_seating(odds, key, 0, 0, np.array([True, False, False, False]))
    assert alone.member is None
    assert not alone.taken.any()
    others = [draw_seating(odds, key, 7, episode, exists).member for episode in range(50)]
    assert others == [draw_seating(odds, key, 7, episode, exists).member for episode in range(50)]
    assert others != [draw_seating(odds, seats_key(6), 7, episode, exists).member for episode in range(50)]


@pytest.mark.parametrize(
    "change",
    [
        {"driver": (0, 0, 0)},
        {"share": (0.5, 0.5)},
        {"share": (0.5, 0.4, 0.2)},
        {"share": (1.5, -0.5, 0.0)},
        {"share": (np.nan, 0.5, 0.5)},
        {"probability": ((0.0,) * 4, (0.2, 0.3, 0.4, 0.0), (0.0, 0.0, 0.0, 1.0))},
        {"member": ("a", "b", "b", "orca")},
        {"member": ("a", "b", "", "orca")},
    ],
)
def test_opponents_that_are_no_probabilities_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="opponents: "):
        Opponents(**{**vars(OPPONENTS), **change})


class Drivers:
    driver = np.zeros(32, np.int8)

    def set_drivers(self, driver: np.ndarray) -> None:
        self.driver = driver


def drivers_of(opponents: Opponents, **changes: Any) -> tuple[Partners, list[np.ndarray]]:
    """Return partners, and the drivers of each of 40 episodes of 8 worlds of 4 robots."""
    drivers = Drivers()
    partners = Partners(replace(task(most=4), **changes), np.arange(32), 3, drivers)
    partners.meet(opponents)
    everyone, seen = np.ones(32, np.bool_), list[np.ndarray]()
    for _ in range(40):
        partners.begin_anew(everyone, everyone, everyone)
        seen.append(drivers.driver.reshape(8, 4).copy())
    return partners, seen


def test_just_so_many_robots_learn_and_are_obstacles_where_that_is_asked_for() -> None:
    only_b = Opponents(1, ("b",), (0,), (1.0,), ((1.0,),))
    partners, seen = drivers_of(only_b, num_learning=1, is_obstacle=True)
    for driver in seen:
        assert ((driver == OBSTACLE).sum(axis=1) == 1).all()
    assert {int(seat) for driver in seen for seat in np.argmax(driver == OBSTACLE, axis=1)} == {0, 1, 2, 3}
    assert (partners.learns.reshape(8, 4).sum(axis=1) == 1).all()
    assert [group.policy is None for group in partners.groups] == [True, False]
    _, seen = drivers_of(OPPONENTS, is_obstacle=True)
    assert any((driver == 0).all(axis=1).any() for driver in seen), "where all robots learn, none is an obstacle"


def test_a_member_that_is_an_obstacle_has_one_seat_and_acts_by_its_policy() -> None:
    partners, seen = drivers_of(Opponents(1, ("b",), (OBSTACLE,), (1.0,), ((1.0,),)))
    assert all(((driver == OBSTACLE).sum(axis=1) == 1).all() for driver in seen)
    own, others = partners.groups
    assert (own.policy, len(own.lanes), len(others.lanes)) == (None, 24, 8)
    again = Partners(task(most=4), np.arange(32), 3, Drivers())
    again.load_state_dict(partners.state_dict())
    np.testing.assert_array_equal(again.groups[1].lanes, others.lanes)
