"""A/B on a fleet: the split, the log, lines that lie, and the end of a challenger that collides more."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from robonav_ray.errors import UserError
from robonav_ray.evaluation.comparing.sequential import refuted
from robonav_ray.evaluation.fleet import outcomes as outcomes_module
from robonav_ray.evaluation.fleet.exposures import EXPOSURES, MAX_LINE_BYTES, ROLLED_BACK, ExposureLog, whole_lines
from robonav_ray.evaluation.fleet.guard import FleetGuard, Rail, SplitCheck, Status, split_p
from robonav_ray.evaluation.fleet.outcomes import ENDINGS, FleetBook
from robonav_ray.evaluation.fleet.split import FleetError, FleetSplit

NUM_ROBOTS = 1000
SPLIT = FleetSplit("robot_nav", "3", "4", share=0.1, salt="5a17")


def exposure(robot: str, episode: int, of: FleetSplit = SPLIT, **other: object) -> bytes:
    told = {"robot": robot, "episode": episode, "arm": of.arm_of(robot, episode), "split": of.key, "time_s": 1e9}
    return json.dumps({**told, **other}).encode()


def outcome(robot: object, episode: object, ending: object = "success", **other: object) -> bytes:
    return json.dumps({"robot": robot, "episode": episode, "outcome": ending, **other}).encode()


def drive(
    guard: FleetGuard, champion: float, challenger: float, num_episodes: int, seed: int = 0, lost: float = 0.0
) -> Iterator[int]:
    """Have a thousand robots drive, one episode each at a time; give the number of episodes after each round."""
    rng = np.random.default_rng(seed)
    luck = rng.normal(0.0, 0.03, NUM_ROBOTS)  # a robot in a narrow corridor collides more under either policy
    for episode in range(num_episodes):
        names = [f"robot-{i}" for i in rng.permutation(NUM_ROBOTS)]
        guard.take_exposures(exposure(name, episode, guard.split) for name in names)
        lines = []
        for name, draw, gone in zip(names, rng.random(NUM_ROBOTS), rng.random(NUM_ROBOTS), strict=True):
            is_new = guard.split.arm_of(name, episode) == "challenger"
            collided = draw < (challenger if is_new else champion) + luck[int(name[6:])]
            if not (is_new and collided and gone < lost):
                lines.append(outcome(name, episode, "collision_dynamic" if collided else "success"))
        guard.take_outcomes(lines)
        yield (episode + 1) * NUM_ROBOTS


def test_a_thousand_robots_get_rid_of_a_challenger_that_collides_more():
    guard = FleetGuard(SPLIT)
    driven = next(n for n in drive(guard, 0.08, 0.20, 12) if guard.must_roll_back)
    standing = guard.standing()
    assert standing.status is Status.ROLL_BACK
    assert "surely collides more" in standing.reason
    assert driven <= 4000  # 400 of which it drove
    assert standing.difference.low > 0.0


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))])
def test_a_thousand_robots_keep_one_that_is_as_good(seed: int):
    guard = FleetGuard(FleetSplit("robot_nav", "3", "4", share=0.5, salt=f"{seed}"))
    assert list(drive(guard, 0.08, 0.08, 10, seed))[-1] == 10_000
    standing = guard.standing()
    assert standing.status is Status.WITHIN
    assert standing.difference.low < 0.0 < standing.difference.high < Rail().collisions
    assert standing.exposed == standing.ended
    assert sum(standing.exposed.values()) == 10_000
    json.dumps(standing.to_dict(), allow_nan=False)


def fast_guard(split: FleetSplit, rail: Rail, collided: tuple[float, float], looks: int, seed: int) -> FleetGuard:
    """Return a guard after ``looks`` looks at made-up counts, without a line of JSON."""
    guard, rng = FleetGuard(split, rail), np.random.default_rng(seed)
    share, (champion, challenger) = split.share, collided
    chance = ((1 - share) * champion, 1 - (1 - share) * champion - share * challenger, share * challenger)
    while guard.standing().num_looks < looks and not guard.must_roll_back:
        guard._counts += rng.multinomial(guard._next_look - int(guard._counts.sum()), chance)
        guard._look()
    return guard


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_an_equal_challenger_is_seldom_found_to_collide_more_though_every_look_counts(share: float):
    rng, values = np.random.default_rng(12), (-1 / (1 - share), 0.0, 1 / share)
    looks = rng.multinomial(50, ((1 - share) * 0.08, 0.92, share * 0.08), (1000, 200)).cumsum(1)
    assert refuted(looks, values, 0.0, 0.05, above=True)[:, -1].sum() <= 64


@pytest.mark.slow
def test_an_equal_challenger_is_seldom_rolled_back_by_a_guard():
    even = FleetSplit("robot_nav", "3", "4", share=0.5, salt="x")
    gone = sum(fast_guard(even, Rail(), (0.08, 0.08), 120, seed).must_roll_back for seed in range(300))
    assert gone <= 300 * 0.05 + 2 * math.sqrt(300 * 0.05 * 0.95)


def test_a_challenger_is_within_the_rail_when_more_harm_is_excluded_and_still_watched():
    even = FleetSplit("robot_nav", "3", "4", share=0.5, salt="x")
    found = {}
    for rail in (0.05, 0.01):
        guard = FleetGuard(even, Rail(collisions=rail))
        assert guard.standing().status is Status.WATCHING
        guard._counts[:] = 1950, 46_000, 2050  # .4 points more, known to within 1 point
        guard._look()
        found[rail] = guard.standing()
        assert not guard.must_roll_back
        guard._counts[:] += 0, 0, 1000
        guard._look()
        assert guard.standing().status is Status.ROLL_BACK
    assert 0.01 < found[0.05].difference.high <= 0.05
    assert found[0.05].status is Status.WITHIN
    assert found[0.01].status is Status.WATCHING


def test_the_split_is_the_same_everywhere_and_as_large_as_its_share():
    robots, episodes = range(NUM_ROBOTS), range(40)
    arms = np.array([[SPLIT.arm_of(f"r{i}", e) == "challenger" for e in episodes] for i in robots])
    assert split_p(int(arms.sum()), int((~arms).sum()), 0.1) > 1e-3
    for counts in (arms.sum(0), arms.sum(1)):  # neither a robot nor an episode is favoured
        expected = np.full(len(counts), arms.sum() / len(counts))
        assert stats.chisquare(counts, expected).pvalue > 1e-3
    again = FleetSplit(**vars(SPLIT))
    assert again.arm_of("r7", 3) == SPLIT.arm_of("r7", 3)
    assert [SPLIT.arm_of("AMR-7", e) for e in (*range(60, 64), *range(16, 21))] == GOLDEN
    other = FleetSplit("robot_nav", "3", "4", share=0.1, salt="other")
    both = sum(SPLIT.arm_of(f"r{i}", 0) == other.arm_of(f"r{i}", 0) == "challenger" for i in range(4000))
    assert both < 80  # 1 % of them, where two tests are split apart


GOLDEN = [*["champion"] * 4, "champion", "challenger", "challenger", "champion", "challenger"]
"""Of AMR-7 in its episodes 60 to 63, then 16 to 20: a robot with a program of its own comes to the same."""


def test_a_split_is_written_once_and_read_as_it_was(tmp_path: Path):
    SPLIT.save(tmp_path)
    assert FleetSplit.load(tmp_path) == SPLIT
    with pytest.raises(FleetError, match="never changes"):
        SPLIT.save(tmp_path)
    with pytest.raises(FleetError, match=r"no split\.json"):
        FleetSplit.load(tmp_path / "none")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("share", 0.9),
        ("share", "half"),
        ("share", True),
        ("salt", ""),
        ("name", "a\nb"),
        ("challenger", "3"),
        ("extra", 1),
    ],
)
def test_a_split_that_cannot_be_is_refused_by_file(tmp_path: Path, key: str, value: object):
    path = SPLIT.save(tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(FleetError, match=r"split\.json"):
        FleetSplit.load(tmp_path)


def test_the_log_tells_every_exposure_and_nothing_after_a_rollback(tmp_path: Path):
    log = ExposureLog(SPLIT, tmp_path)
    arms = {robot: log.assign(robot, 0, 1e9) for robot in (f"r{i}" for i in range(40))}
    assert set(arms.values()) == {"champion", "challenger"}
    guard = FleetGuard(SPLIT)
    guard.take_exposures(line for line, _ in whole_lines(tmp_path / EXPOSURES))
    assert guard.book.exposure_fates == {"taken": 40}
    (tmp_path / ROLLED_BACK).write_text("{}")
    assert {log.assign(robot, 0) for robot in arms} == {"champion"}
    assert sum(1 for _ in whole_lines(tmp_path / EXPOSURES)) == 40
    with pytest.raises(FleetError, match="robot"):
        log.assign("a\x1b[2J", 0)
    with pytest.raises(FleetError, match="episode"):
        log.assign("a", -1)


def test_every_line_is_vetted_counted_and_taken_once():
    book = FleetBook(SPLIT, window_s=100.0)
    for robot in ("a", "b", "c", "d"):
        assert book.take_exposure(exposure(robot, 0)) == "taken"
    assert book.take_exposure(exposure("a", 0)) == "repeated"
    assert book.take_exposure(exposure("x", 0, split="0" * 16)) == "other split"
    assert book.take_exposure(exposure("another split", 0, arm="another split")) == "malformed"
    wrong_arm = "champion" if SPLIT.arm_of("x", 0) == "challenger" else "challenger"
    assert book.take_exposure(exposure("x", 0, arm=wrong_arm)) == "malformed"
    assert book.take_exposure(None) == "too long"
    taken = book.take_outcome(outcome("a", 0, "collision_wall", time_s=1e9 + 99))
    assert taken == (SPLIT.arm_of("a", 0), True)
    for line in (
        outcome("a", 0, "collision_wall"),  # repeated
        outcome("a", 0, "success"),  # contradicted
        outcome("nobody", 0),  # unknown
        outcome("b", 0, time_s=1e9 + 101),  # late
        None,  # too long
        b"\xff\xfe",
        b"",
        b"[" * 4000,
        b"[1, 2]",
        b"null",
        outcome("b", 0, "won"),
        outcome("b", 0, "none"),
        outcome("b", 0, ["success"]),
        outcome("b", 0, time_s=1e9 - 1000),
        outcome("b", 0, time_s="now"),
        outcome("b", 0, time_s=10**400),  # no float is as large
        b'{"robot": "b", "episode": 0, "outcome": "success", "time_s": NaN}',
        outcome("b", 0.0),
        outcome("b", True),
        outcome("b", -1),
        outcome("b", 10**60),
        outcome("", 0),
        outcome(7, 0),
        outcome("b" * 500, 0),
        outcome("b\n", 0),
        b'{"robot": "b", "episode": 0}',
    ):
        assert book.take_outcome(line) is None, line
    assert book.outcome_fates == {
        "taken": 1, "repeated": 1, "contradicted": 1, "unknown": 1, "late": 1, "too long": 1, "malformed": 21,
    }  # fmt: skip
    assert book.take_outcome(outcome("b", 0)) == (SPLIT.arm_of("b", 0), False)
    assert sum(book.collided.values()) == 1


def test_a_thousand_damaged_lines_are_counted_and_take_nothing_from_the_others():
    rng, book = np.random.default_rng(13), FleetBook(SPLIT)
    for i in range(50):
        book.take_exposure(exposure("a", i))
    for i in range(1000):
        line = bytearray(outcome("a", i % 50, time_s=1e9 + 5) if i % 2 else exposure("a", i % 50))
        for _ in range(rng.integers(1, 6)):
            line[rng.integers(len(line))] = rng.integers(256)
        (book.take_outcome if i % 2 else book.take_exposure)(bytes(line[: rng.integers(1, len(line) + 40)]))
    assert book.outcome_fates.total() == 500
    assert book.exposure_fates.total() == 550
    assert book.outcome_fates["malformed"] > 300
    assert sum(book.ended.values()) <= 50


def test_no_more_episodes_are_held_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outcomes_module, "MAX_EPISODES", 2)
    book = FleetBook(SPLIT)
    assert [book.take_exposure(exposure("a", i)) for i in range(4)] == ["taken", "taken", "over", "over"]
    assert book.take_outcome(outcome("a", 3)) is None
    assert book.outcome_fates == {"unknown": 1}


def test_endings_are_those_of_episodes():
    assert [name for name, collided in ENDINGS.items() if collided] == [
        "collision_static", "collision_dynamic", "collision_wall", "collision_robot", "collision",
    ]  # fmt: skip


def test_lines_that_are_torn_or_endless_are_no_lines_yet(tmp_path: Path):
    path = tmp_path / "outcomes.jsonl"
    assert list(whole_lines(path)) == []
    path.write_bytes(b"one\n" + b"x" * (3 * MAX_LINE_BYTES) + b"\ntwo\nto")
    found = list(whole_lines(path))
    assert [line for line, _ in found] == [b"one\n", None, b"two\n"]
    with path.open("ab") as file:
        file.write(b"rn\n")
    assert [line for line, _ in whole_lines(path, found[-1][1])] == [b"torn\n"]
    path.write_bytes(b"y" * (5 * MAX_LINE_BYTES))
    assert list(whole_lines(path)) == []
    with pytest.raises(FleetError, match="only be added"):
        list(whole_lines(path, 6 * MAX_LINE_BYTES))
    (tmp_path / "link.jsonl").symlink_to(path)
    with pytest.raises(UserError, match="link"):
        list(whole_lines(tmp_path / "link.jsonl"))


def test_a_split_that_is_off_is_found_and_one_that_is_right_is_not():
    assert split_p(0, 0, 0.1) == 1.0
    rng, wrong = np.random.default_rng(11), 0
    for _ in range(100):
        check, counts = SplitCheck(0.1), np.zeros(2, np.int64)
        for _ in range(60):
            counts += rng.multinomial(100, (0.1, 0.9))
            check.look(*counts.tolist())
        wrong += check.is_off
    assert wrong <= 3
    check, counts = SplitCheck(0.1), np.zeros(2, np.int64)
    for _ in range(60):
        counts += rng.multinomial(100, (0.13, 0.87))
        check.look(*counts.tolist())
    assert check.is_off


def test_a_challenger_that_loses_its_collisions_is_told_by_the_split_of_outcomes():
    guard = FleetGuard(FleetSplit("robot_nav", "3", "4", share=0.3, salt="lost"))
    list(drive(guard, 0.08, 0.30, 4, lost=1.0))
    standing = guard.standing()
    assert standing.status is Status.MISMATCH
    assert "outcomes" in standing.reason
    assert "exposures" not in standing.reason


@pytest.mark.parametrize("wrong", [{"collisions": 0.0}, {"alpha": 0.9}, {"collisions": float("nan")}])
def test_a_rail_that_cannot_be_is_refused(wrong: dict[str, float]):
    with pytest.raises(UserError, match=next(iter(wrong))):
        Rail(**wrong)
