"""What each number of an observation and each action means: the table that ``robonav env show`` prints and a run keeps.

The columns are those of ``ObservationLayout``, the commands those of ``action_table``: nothing is written down twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import gymnasium as gym

from robonav_ray.config.worlds import LidarConfig, WorldConfig
from robonav_ray.text import markdown_text
from robonav_ray.worlds.constants import constants
from robonav_ray.worlds.goal_vector import flat_goal_space
from robonav_ray.worlds.kernels.actions import action_table, own_speeds
from robonav_ray.worlds.kernels.layout import (
    ANGLE_INCREMENT,
    ANGLE_MIN,
    COURSES,
    ENCOUNTER_PART,
    FORECAST_SPEEDS,
    FORECAST_TURNS,
    GOAL_SCALE_M,
    GOALS_SCALE,
    HUMAN_STATE,
    NEIGHBOR_PART,
)
from robonav_ray.worlds.kernels.observation import ObservationLayout

_OWN_UNIT = "its own"


class ObservationRow(NamedTuple):
    """One number of an observation, or several alike in a row."""

    first: int
    last: int
    """The numbers ``first`` to ``last``, both included, counted from 0."""
    name: str
    unit: str
    low: float
    high: float
    """Bounds that every value keeps."""
    meaning: str


class ActionRow(NamedTuple):
    """One action."""

    action: int
    command: tuple[float, ...]
    """The numbers that ``EnvTable.command`` names; empty where only the environment knows what the action does."""


@dataclass(frozen=True)
class EnvTable:
    """The layout of an environment's observations and actions."""

    env_id: str
    observation: tuple[ObservationRow, ...]
    command: tuple[str, ...]
    """What the numbers of an action's command are, with their unit."""
    actions: tuple[ActionRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the table as JSON takes it; an open bound is null."""
        rows = [row._asdict() for row in self.observation]
        for row in rows:
            row.update({side: row[side] if math.isfinite(row[side]) else None for side in ("low", "high")})
        return {
            **asdict(self),
            "format_version": 1,
            "observation": rows,
            "actions": [row._asdict() for row in self.actions],
        }

    def observation_cells(self) -> Iterator[tuple[str, ...]]:
        """Yield (numbers, name, unit, range, meaning) of each row, for people."""
        for row in self.observation:
            numbers = str(row.first) if row.first == row.last else f"{row.first}-{row.last}"
            yield numbers, row.name, row.unit, f"{row.low:g} to {row.high:g}", row.meaning

    def action_cells(self) -> Iterator[tuple[str, ...]]:
        """Yield (action, each number of the command) of each action, for people."""
        for row in self.actions:
            yield str(row.action), *(f"{value:.4g}" for value in row.command)

    def to_markdown(self) -> str:
        """Return both tables as Markdown."""
        lines = [f"# {markdown_text(self.env_id)}", "", "## Observation", ""]
        lines += _markdown_table(OBSERVATION_COLUMNS, self.observation_cells())
        lines += ["", "## Actions", "", *_markdown_table(("action", *self.command), self.action_cells()), ""]
        return "\n".join(lines)


OBSERVATION_COLUMNS = ("number", "name", "unit", "range", "meaning")


def native_table(env_id: str, world: WorldConfig, num_circles: int) -> EnvTable:
    """Return the table of our worlds when the largest level has ``num_circles`` circles; for discrete actions."""
    layout = ObservationLayout.of(world, num_circles)
    low, high = layout.bounds()
    rows = list[ObservationRow]()
    for part, columns in layout.slices.items():
        at = columns.start
        for name, unit, size, meaning in _parts(part, world, columns.stop - columns.start):
            rows.append(ObservationRow(at, at + size - 1, name, unit, float(low[at]), float(high[at]), meaning))
            at += size
        if at != columns.stop:
            raise AssertionError(
                f"{part} has {columns.stop - columns.start} numbers, {at - columns.start} of which are explained"
            )
    table = action_table(world.robot)
    assert table is not None
    actions = tuple(ActionRow(i, tuple(float(f"{value:.6g}") for value in row)) for i, row in enumerate(table))
    return EnvTable(env_id, tuple(rows), _command(world), actions)


def foreign_table(env_id: str, observation: gym.Space[Any], num_actions: int) -> EnvTable:
    """Return the table of an environment that is not ours: the bounds of its space (a flat Box, or the Dict of a
    goal-env).
    """
    names = ["observation"]
    if isinstance(observation, gym.spaces.Dict):
        box, num_goal = flat_goal_space(env_id, observation)
        names = ["observation"] * (box.shape[0] - num_goal) + ["desired_goal"] * num_goal
    else:
        assert isinstance(observation, gym.spaces.Box)
        box = observation
        names *= box.shape[0]
    alike = list(zip(names, box.low.tolist(), box.high.tolist(), strict=True))
    rows, first = list[ObservationRow](), 0
    for i in range(1, len(alike) + 1):
        if i == len(alike) or alike[i] != alike[first]:
            name, low, high = alike[first]
            rows.append(ObservationRow(first, i - 1, name, _OWN_UNIT, low, high, ""))
            first = i
    return EnvTable(env_id, tuple(rows), (), tuple(ActionRow(i, ()) for i in range(num_actions)))


def _parts(part: str, world: WorldConfig, size: int) -> Iterator[tuple[str, str, int, str]]:
    """Yield (name, unit, how many numbers, meaning) of what makes up one slice of the layout."""
    if part == "lidar":
        yield from _scans(world)
    elif part == "path":
        for i in range(size // 2):
            where = f"of the point {(i + 1) * world.path.spacing_m:g} m farther along the route to the goal"
            end = "; past its end the goal" if not i else ""
            yield f"path {i} x", f"{GOAL_SCALE_M:g} m", 1, f"ahead, {where}{end}"
            yield f"path {i} y", f"{GOAL_SCALE_M:g} m", 1, "to the left, of the same point"
    elif part == "circles":
        for i in range(size // HUMAN_STATE):
            for name, unit, meaning in _CIRCLE:
                order = "; the nearest circle first, zeros where there is none" if not i and name == "p_x" else ""
                yield f"circle {i} {name}", unit, 1, meaning + order
    elif part == "neighbors":
        for i in range(size // NEIGHBOR_PART):
            for name, unit, meaning in _NEIGHBOR:
                order = "; all zeros where there is none" if not i and name == "there" else ""
                yield f"neighbor {i} {name}", unit, 1, meaning + order
    elif part == "encounters":
        for i in range(size // ENCOUNTER_PART):
            for name, unit, meaning in _ENCOUNTER:
                order = "; all zeros where there is none" if not i and name == "there" else ""
                yield f"disc {i} {name}", unit, 1, meaning + order
    elif part == "forecast":
        for i in range(size // 2):
            speed, turn = divmod(i, FORECAST_TURNS)
            v, o = speed / (FORECAST_SPEEDS - 1), 2 * turn / (FORECAST_TURNS - 1) - 1
            course = f"at {v:g} of the greatest speed and {o:g} of the greatest turn rate"
            yield f"forecast {i} contact", "", 1, f"1 s / (1 s + time until contact) {course}; 0: none within 2 s"
            yield f"forecast {i} nearness", "", 1, "0.5 m / (0.5 m + least clearance) on the same course"
    elif part == "detour":
        yield (
            "detour cos",
            "",
            1,
            "bearing to drive to past what the newest scan shows before the goal, else to the goal",
        )
        yield "detour sin", "", 1, "of the same bearing"
        yield "detour longer", "", 1, "what that way has more than the straight one / 5 m; 1: no way past is seen"
    elif part == "commands":
        for i in range(size // 2):
            last = "as last asked for" if i == 0 else f"as asked for {i} steps before that"
            rows = [(name, unit, f"{meaning}; {last}") for name, unit, meaning in _SPEEDS]
            yield from _of_robot(f"command {i}", rows, world)
    else:
        yield from _of_robot(part, _NAMED[part], world)


def _of_robot(
    part: str, rows: Sequence[tuple[str, str, str]], world: WorldConfig
) -> Iterator[tuple[str, str, int, str]]:
    """Yield ``rows`` (name, unit, meaning) as they are for the robot's drive and its greatest speeds."""
    for name, unit, meaning in rows:
        shown = unit.format(speed=world.robot.max_speed, turn=world.robot.max_turn_rate)
        if world.robot.is_holonomic:
            name = {"omega": "v_y", "v": "v_x"}.get(name, name)
            meaning = meaning.replace("forward speed", "speed ahead").replace(
                "turn rate; left is positive", "speed to the left"
            )
            shown = shown.replace(f"{world.robot.max_turn_rate:g} rad/s", f"{world.robot.max_speed:g} m/s")
        yield f"{part} {name}".strip(), shown, 1, meaning


def _scans(world: WorldConfig) -> Iterator[tuple[str, str, int, str]]:
    lidar: LidarConfig = world.lidar
    const = constants(world, 0.99)
    first, step = (math.degrees(float(const[column])) for column in (ANGLE_MIN, ANGLE_INCREMENT))
    unit = f"range / {lidar.range_max_m:g} m" if lidar.encoding == "range" else "proximity"
    for i in range(lidar.stack):
        age_s = i * lidar.stack_interval * world.dt_s
        when = (
            "now" if i == 0 else f"{age_s:.3g} s ago" + (", as seen from the robot's pose now" if lidar.align else "")
        )
        zero = f"; 1 at contact, 0 at {lidar.range_max_m:g} m" if lidar.encoding == "proximity" and i == 0 else ""
        yield f"scan {i}", unit, lidar.num_beams, f"{when}: beam j at {first:.4g} + {step:.4g} j degrees{zero}"


def _command(world: WorldConfig) -> tuple[str, ...]:
    change = "change of " if world.robot.actions == "increments9" else ""
    own = f", of a robot of {world.robot.max_speed:g} m/s" if own_speeds(world) else ""
    pair = (f"v_x (m/s{own})", f"v_y (m/s{own})") if world.robot.is_holonomic else (f"v (m/s{own})", "omega (rad/s)")
    return tuple(change + name for name in pair)


def _bearing(of: str) -> tuple[tuple[str, str, str], ...]:
    return (
        ("distance", f"{GOAL_SCALE_M:g} m", f"to {of}"),
        ("cos", "", f"of the bearing of {of}; ahead is 0"),
        ("sin", "", "of the same bearing; left is positive"),
    )


_SPEEDS = (("v", "{speed:g} m/s", "forward speed"), ("omega", "{turn:g} rad/s", "turn rate; left is positive"))
_NAMED: dict[str, tuple[tuple[str, str, str], ...]] = {
    "goal": _bearing("the goal"),
    "next_goal": _bearing("the goal after it, or zeros"),
    "twist": tuple((name, unit, f"{meaning}; now") for name, unit, meaning in _SPEEDS),
    "previous_action": tuple((name, unit, f"{meaning}; as last asked for") for name, unit, meaning in _SPEEDS),
    "goals_left": (("", f"{GOALS_SCALE:g} goals", "goals that are not reached yet"),),
    "time_left": (("", "max_steps", "part of the episode's steps that is left"),),
    "robot": (
        ("goal distance", "m", "to the goal"),
        ("max_speed", "m/s", "the greatest speed"),
        ("yaw", "rad", "relative to the direction of the goal"),
        ("radius", "m", "of the robot"),
        ("v_x", "m/s", "velocity towards the goal"),
        ("v_y", "m/s", "velocity to the left of it"),
    ),
    "own": (
        ("goal distance", f"{GOAL_SCALE_M:g} m", "to the goal"),
        ("max_speed", "m/s", "the greatest speed, its preferred one"),
        ("cos", "", "of the yaw relative to the direction of the goal"),
        ("sin", "", "of the same angle"),
        ("radius", "m", "of the robot"),
        ("time_left", "its limit", "part of its time that is left"),
    ),
    "self": (
        ("goal distance", f"{GOAL_SCALE_M:g} m", "to the goal"),
        ("nearness", "", "1 m / (1 m + distance to the goal)"),
        ("cos", "", "of the bearing of the goal; ahead is 0"),
        ("sin", "", "of the same bearing; left is positive"),
        ("max_speed", "m/s", "the greatest speed, its preferred one"),
        ("v_x", "m/s", "velocity ahead"),
        ("v_y", "m/s", "velocity to the left"),
        ("radius", "m", "of the robot"),
        ("time_left", "its limit", "part of its time that is left"),
    ),
}
"""Each slice of ``ObservationLayout``: (name, unit, meaning) of its numbers; {speed} and {turn} are the robot's
limits."""
_CIRCLE = (
    ("p_x", "m", "position ahead, looking to the goal"),
    ("p_y", "m", "position to the left"),
    ("v_x", "m/s", "velocity ahead"),
    ("v_y", "m/s", "velocity to the left"),
    ("radius", "m", "its radius"),
    ("distance", "m", "between the centres"),
    ("radii", "m", "sum of its radius and the robot's"),
)
_NEIGHBOR = (
    ("there", "", "1: there is such a neighbour, a robot or a circle"),
    ("p_x", "m", "position ahead, looking to the goal"),
    ("p_y", "m", "position to the left"),
    ("v_x", "m/s", "velocity ahead, relative to the robot's"),
    ("v_y", "m/s", "velocity to the left, relative to the robot's"),
    ("radius", "m", "its radius"),
    ("radii", "m", "sum of its radius and the robot's"),
    ("gap", "m", "space between the two discs"),
)

_ENCOUNTER = (
    ("there", "", "1: there is such a disc, a robot or a circle"),
    ("p_x", f"{GOAL_SCALE_M:g} m", "position ahead, looking along the heading"),
    ("p_y", f"{GOAL_SCALE_M:g} m", "position to the left"),
    ("cos", "", "of its bearing; ahead is 0"),
    ("sin", "", "of the same bearing; left is positive"),
    ("nearness", "", ".5 m / (.5 m + space between the two discs)"),
    ("v_x", "m/s", "its velocity ahead"),
    ("v_y", "m/s", "its velocity to the left"),
    ("radius", "m", "its radius"),
    *(
        (
            f"soon {part:g} {angle:g}",
            "",
            f"1 s / (1 s + time until they touch, should it go on, and the robot drive {angle:g} degrees to the left "
            f"of its heading at {part:g} of its greatest speed); 0 is never",
        )
        for part, angle in COURSES
    ),
)


def _markdown_table(columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows)]
