"""NStepFolder against one Python list per lane."""

from __future__ import annotations

import numpy as np
import pytest

from robonav_ray.algo.n_step import NStepFolder
from robonav_ray.records import TransitionSpec
from tests.oracles_algo import NaiveNStepLane, Row

OBS_DIM = 3


def random_step(rng, num_lanes, t, end_prob):
    """A vector step whose observations carry their own (lane, time, is-final)."""
    lane = np.arange(num_lanes)
    obs = np.stack([lane, np.full(num_lanes, t), np.zeros(num_lanes)], axis=1).astype(np.float32)
    final_obs = np.stack([lane, np.full(num_lanes, t + 1), np.ones(num_lanes)], axis=1).astype(np.float32)
    return {
        "obs": obs,
        "action": rng.integers(0, 5, num_lanes).astype(np.int32),
        "reward": rng.standard_normal(num_lanes).astype(np.float32),
        "terminated": rng.random(num_lanes) < end_prob,
        "truncated": rng.random(num_lanes) < end_prob,
        "q_taken": rng.standard_normal(num_lanes).astype(np.float32),
        "q_max": rng.standard_normal(num_lanes).astype(np.float32),
        "final_obs": final_obs,
        "final_q_max": rng.standard_normal(num_lanes).astype(np.float32),
    }


def rows_of(columns, priority, start, stop):
    return [Row(*(column[i] for column in columns), priority[i]) for i in range(start, stop)]


def assert_same(got: list[Row], expected: list[Row]) -> None:
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a.obs, b.obs)
        np.testing.assert_array_equal(a.next_obs, b.next_obs)
        assert (a.action, a.policy_version) == (b.action, b.policy_version)
        np.testing.assert_allclose(
            [a.reward, a.discount, a.priority], [b.reward, b.discount, b.priority], rtol=2e-6, atol=2e-6
        )


@pytest.mark.parametrize("steps_per_fragment", [1, 2, 7])
@pytest.mark.parametrize(("n_step", "end_prob"), [(1, 0.2), (3, 0.15), (5, 0.05), (4, 0.6)])
def test_rows_equal_the_plain_lists_with_parked_lanes_and_fragments(n_step, end_prob, steps_per_fragment):
    rng = np.random.default_rng(n_step)
    num_lanes, gamma = 6, 0.9
    folder = NStepFolder(num_lanes, OBS_DIM, n_step, gamma)
    lanes = [NaiveNStepLane(n_step, gamma) for _ in range(num_lanes)]
    spec = TransitionSpec.for_discrete((OBS_DIM,))
    pushed = emitted = 0
    for fragment in range(20):
        columns, priority, row = spec.allocate(folder.max_rows(steps_per_fragment)), None, 0
        priority = np.zeros(len(columns[0]), np.float32)
        for t in range(steps_per_fragment):
            step = random_step(rng, num_lanes, fragment * steps_per_fragment + t, end_prob)
            active = rng.random(num_lanes) < 0.8
            before = row
            row = folder.push(
                **step, policy_version=fragment, columns=columns, priority=priority, row=row, active=active
            )
            expected = []
            for lane in np.flatnonzero(active):
                expected += lanes[lane].push(*(step[name][lane] for name in step), fragment)
            assert_same(rows_of(columns, priority, before, row), expected)
            pushed += int(active.sum())
        emitted += row
        assert folder.num_waiting == sum(len(lane.steps) for lane in lanes)
    assert pushed == emitted + folder.num_waiting


def test_termination_wins_and_truncation_bootstraps():
    folder = NStepFolder(2, OBS_DIM, 2, 0.5)
    columns, priority = TransitionSpec.for_discrete((OBS_DIM,)).allocate(8), np.zeros(8, np.float32)
    step = random_step(np.random.default_rng(0), 2, 0, 0.0)
    step |= {"terminated": np.array([True, False]), "truncated": np.array([True, True])}
    assert folder.push(**step, policy_version=1, columns=columns, priority=priority, row=0) == 2
    np.testing.assert_array_equal(columns[4][:2], np.float32([0.0, 0.5]))
    np.testing.assert_allclose(priority[0], abs(step["reward"][0] - step["q_taken"][0]), rtol=1e-6)
    np.testing.assert_allclose(
        priority[1], abs(step["reward"][1] + 0.5 * step["final_q_max"][1] - step["q_taken"][1]), rtol=1e-6
    )


def test_state_round_trip_continues_bit_identically():
    rng = np.random.default_rng(3)
    one, two = NStepFolder(4, OBS_DIM, 3, 0.97), NStepFolder(4, OBS_DIM, 3, 0.97)
    spec = TransitionSpec.for_discrete((OBS_DIM,))
    columns, priority = spec.allocate(one.max_rows(30)), np.zeros(one.max_rows(30), np.float32)
    row = 0
    for t in range(15):
        row = one.push(**random_step(rng, 4, t, 0.1), policy_version=t, columns=columns, priority=priority, row=row)
    two.load_state_dict(one.state_dict())
    other, other_priority = spec.allocate(two.max_rows(15)), np.zeros(two.max_rows(15), np.float32)
    start, row_two = row, 0
    for t in range(15, 30):
        step = random_step(rng, 4, t, 0.1)
        row = one.push(**step, policy_version=t, columns=columns, priority=priority, row=row)
        row_two = two.push(**step, policy_version=t, columns=other, priority=other_priority, row=row_two)
    assert row_two == row - start > 0
    for a, b in zip((*columns, priority), (*other, other_priority), strict=True):
        np.testing.assert_array_equal(a[start:row], b[:row_two])


def test_clear_forgets_only_those_lanes():
    folder = NStepFolder(3, OBS_DIM, 4, 0.9)
    columns, priority = (
        TransitionSpec.for_discrete((OBS_DIM,)).allocate(folder.max_rows(2)),
        np.zeros(folder.max_rows(2), np.float32),
    )
    for t in range(2):
        folder.push(
            **random_step(np.random.default_rng(t), 3, t, 0.0),
            policy_version=0,
            columns=columns,
            priority=priority,
            row=0,
        )
    folder.clear(np.array([False, True, False]))
    assert folder.num_waiting == 4


def test_bad_use_is_refused_and_changes_nothing():
    with pytest.raises(ValueError, match="at least 1"):
        NStepFolder(0, OBS_DIM, 3, 0.9)
    folder = NStepFolder(4, OBS_DIM, 3, 0.9)
    columns, priority = TransitionSpec.for_discrete((OBS_DIM,)).allocate(3), np.zeros(3, np.float32)
    step = random_step(np.random.default_rng(0), 4, 0, 0.0)
    with pytest.raises(ValueError, match="max_rows"):
        folder.push(**step, policy_version=0, columns=columns, priority=priority, row=0)
    assert folder.num_waiting == 0
    state = folder.state_dict()
    with pytest.raises(ValueError, match="keys"):
        folder.load_state_dict({k: v for k, v in state.items() if k != "obs"})
    with pytest.raises(ValueError, match="obs"):
        folder.load_state_dict(state | {"obs": state["obs"][:2]})


@pytest.mark.parametrize("n_step", [1, 3, 5])
@pytest.mark.parametrize("steps_per_fragment", [1, 2, 4, 100])
def test_rows_of_known_episodes_wherever_fragments_are_cut(n_step, steps_per_fragment):
    """One lane, episodes of 1 to 7 steps ending in turn by termination and truncation, reward = step: every row can be
    written down."""
    gamma, spec = 0.5, TransitionSpec.for_discrete((2,))
    folder, rows, expected = NStepFolder(1, 2, n_step, gamma), [], []
    columns, priority, row, in_fragment = spec.allocate(200), np.zeros(200, np.float32), 0, 0
    none, zero = np.zeros(1, np.bool_), np.zeros(1, np.float32)
    for episode in range(14):
        length, terminated = 1 + episode % 7, episode % 2 == 0
        for t in range(length):
            obs, last = np.array([[episode, t]], np.float32), t + 1 == length
            final = np.array([[episode, length]], np.float32) if last else np.full((1, 2), np.nan, np.float32)
            row = folder.push(
                obs, np.array([t], np.int32), np.array([t], np.float32), ~none if last and terminated else none,
                ~none if last and not terminated else none, zero, zero, final, zero, 0, columns, priority, row,
            )  # fmt: skip
            in_fragment += 1
            if in_fragment == steps_per_fragment:  # the fragment travels, the next one begins with empty columns
                rows += [tuple(column[i].tolist() for column in columns) for i in range(row)]
                columns, priority, row, in_fragment = spec.allocate(200), np.zeros(200, np.float32), 0, 0
        for t in range(length):
            m = min(n_step, length - t)
            total = sum(gamma**i * (t + i) for i in range(m))
            discount = 0.0 if terminated and t + m == length else gamma**m
            expected.append(([episode, t], t, total, [episode, t + m], discount, 0))
    rows += [tuple(column[i].tolist() for column in columns) for i in range(row)]
    assert folder.num_waiting == 0
    assert rows == expected
