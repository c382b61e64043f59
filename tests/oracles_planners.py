"""Slow and obvious twins of the dynamic-window search and of the search of a grid, in float64 and plain Python."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Mapping

import numpy as np

Settings = Mapping[str, float]
CRASH_PRICE, LATER = 1.0e4, 100.0


def off_segment(point: np.ndarray, end: np.ndarray) -> float:
    """Distance of ``point`` from the segment between the origin and ``end``."""
    part = min(max(float(point @ end) / max(float(end @ end), 1e-12), 0.0), 1.0)
    return float(np.linalg.norm(point - part * end))


class Plan:
    """One command after another from the origin, with what it has cost so far."""

    def __init__(
        self,
        circles: np.ndarray,
        points: np.ndarray,
        goals: np.ndarray,
        s: Settings,
        twist: np.ndarray,
        path: np.ndarray | None = None,
    ):
        self.circles, self.points, self.goals, self.s = circles, points, goals, s
        self.path = np.zeros((0, 2)) if path is None else path
        self.position, self.yaw, self.twist = np.zeros(2), 0.0, twist.astype(float)
        self.near = self.way = 0.0
        self.step, self.reached, self.crashed, self.done, self.free = 0, 0, 0, False, math.inf
        self.leg = float(np.linalg.norm(goals[1] - goals[0]))

    def copy(self) -> Plan:
        """Return another one that goes on from here."""
        other = Plan(self.circles, self.points, self.goals, self.s, self.twist, self.path)
        other.__dict__.update({k: v.copy() if isinstance(v, np.ndarray) else v for k, v in self.__dict__.items()})
        return other

    def go(self, command: np.ndarray, until: int) -> None:
        """Carry ``command`` (v, omega) out until that step, a collision, or the last goal."""
        s, dt = self.s, self.s["dt"]
        while self.step < until and not self.crashed and not self.done:
            most = np.array([s["acceleration"], s["turn_acceleration"]]) * dt
            self.twist = np.clip(command, self.twist - most, self.twist + most)
            v, omega = self.twist
            middle = self.yaw + omega * dt / 2
            self.position = self.position + v * dt * np.array([math.cos(middle), math.sin(middle)])
            self.yaw += omega * dt
            self.step += 1
            self._meet(self.step * dt)
            if not self.crashed:
                self._look_for_the_goal()

    def _meet(self, time: float) -> None:
        s = self.s
        gaps = [math.inf]
        for x, y, vx, vy, radius in self.circles:
            then = np.array([x, y]) + s["predicts"] * time * np.array([vx, vy])
            grown = radius + s["radius"] + s["growth"] * time * s["predicts"]
            gaps.append(float(np.linalg.norm(then - self.position)) - grown)
        gaps += [float(np.linalg.norm(p - self.position)) - s["radius"] for p in self.points]
        self.free = min(gaps)
        if self.free <= 0.0:
            self.crashed = self.step
        elif s["margin"] > 0.0:
            self.near += max(1.0 - self.free / s["margin"], 0.0) * s["dt"]

    def _look_for_the_goal(self) -> None:
        second = self.reached > 0
        distance = float(np.linalg.norm(self.goals[int(second)] - self.position))
        left = distance if second else self._to_go(self.position)[1] + self.leg
        self.way += left * self.s["dt"]
        if distance < self.s["tolerance"]:
            self.reached = self.step
            self.done = second or self.leg == 0.0

    def _to_go(self, point: np.ndarray) -> tuple[float, float]:
        """Return how far ``point`` is from the way to the goal, and how far it is to that and on to the goal."""
        if not len(self.path):
            return off_segment(point, self.goals[0]), float(np.linalg.norm(self.goals[0] - point))
        corners = [np.zeros(2), *self.path]
        tail = float(np.linalg.norm(self.goals[0] - self.path[-1]))
        best = (math.inf, 0.0)
        for k in range(len(self.path)):
            leg = corners[k + 1] - corners[k]
            part = min(max(float((point - corners[k]) @ leg) / max(float(leg @ leg), 1e-6), 0.0), 1.0)
            off = float(np.linalg.norm(point - corners[k] - part * leg))
            rest = [(1 - part) * leg, *(b - a for a, b in itertools.pairwise(corners[k + 1 :]))]
            if off < best[0]:
                best = off, off + tail + sum(float(np.linalg.norm(one)) for one in rest)
        return best

    def cost(self, steps: int) -> float:
        """What it costs in the end."""
        s = self.s
        horizon = steps * s["dt"]
        cost = s["nearness"] * self.near + s["way"] * self.way / horizon
        if self.done:
            return cost - (s["goal_dist"] + s["goal_align"]) * s["top_speed"] * (horizon - self.reached * s["dt"])
        ahead = self.position + s["forward"] * np.array([math.cos(self.yaw), math.sin(self.yaw)])
        goal = self.goals[int(self.reached > 0)]
        if self.reached:
            cost += s["goal_dist"] * float(np.linalg.norm(goal - self.position))
            cost += s["goal_align"] * float(np.linalg.norm(goal - ahead))
        else:
            (off, left), (off_ahead, left_ahead) = self._to_go(self.position), self._to_go(ahead)
            cost += s["goal_dist"] * left + s["goal_align"] * left_ahead
            cost += (s["goal_dist"] + s["goal_align"]) * self.leg + 2 * s["forward"] * s["goal_align"]
            cost += s["path_dist"] * off + s["path_align"] * off_ahead
        if self.free < s["inflation"]:
            cost += s["obstacle"] * 252.0 * math.exp(-s["decay"] * max(self.free, 0.0))
        return cost + (CRASH_PRICE - LATER * self.crashed if self.crashed else 0.0)


def least_costs(start: Plan, commands: np.ndarray, branches: list[int], steps: int) -> list[float]:
    """What the cheapest plan costs that begins with each command; a second one may begin after ``branches``."""
    least = []
    for first in commands:
        plan, found = start.copy(), [math.inf]
        for branch in [*branches, steps]:
            plan.go(first, branch)
            if plan.crashed or plan.done or branch == steps:
                found.append(plan.cost(steps))
                break
            for second in commands:
                other = plan.copy()
                other.go(second, steps)
                found.append(other.cost(steps))
        least.append(min(found))
    return least


def dijkstra_costs(passable: np.ndarray, start: tuple[int, int]) -> dict[tuple[int, int], float]:
    """What the cheapest way from ``start`` to every cell costs that is reached: 8 neighbours, no corner is cut."""
    rows, columns = passable.shape
    costs, heap = {start: 0.0}, [(0.0, start)]
    while heap:
        cost, (r, c) = heapq.heappop(heap)
        if cost > costs[r, c]:
            continue
        for dr, dc in itertools.product((-1, 0, 1), repeat=2):
            to = r + dr, c + dc
            if not (0 <= to[0] < rows and 0 <= to[1] < columns and passable[to]):
                continue
            if not (passable[r + dr, c] and passable[r, c + dc]):
                continue
            found = cost + math.hypot(dr, dc)
            if found < costs.get(to, math.inf) - 1e-12:
                costs[to] = found
                heapq.heappush(heap, (found, to))
    return costs
