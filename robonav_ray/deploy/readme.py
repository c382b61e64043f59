"""``README.md`` of a bundle: what it is and how a robot drives with it, on one page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from robonav_policy.spec import FORECAST_SPEEDS, FORECAST_TURNS, Spec
from robonav_ray.text import markdown_code, markdown_text

README = "README.md"
_PATH = """
* `policy.act(..., path=points)`: points (P, 2) of a path to the goal, in the frame of the goals; the policy sees the
  next {} of it, {:g} m apart."""
_COMMANDS = """
* It sees the last {} twists that it gave: it remembers them itself."""
_DETOUR = """
* It sees to which side the way past leads that `scan` shows, where something stands between the robot and its goal."""
_FORECAST = """
* It sees how soon the robot would touch something on each of {} courses, as the last scans show: made of `scan` and
  `pose` alone."""


def readme_of(spec: Spec, files: Sequence[str]) -> str:
    """Return the page for a bundle with these files, besides the manifest and the package."""
    scan = spec.scan
    first, step = math.degrees(scan.angle_min), math.degrees(scan.angle_increment)
    answer = "(v_x, v_y) in m/s" if spec.is_holonomic else "(linear m/s, angular rad/s)"
    beams = (
        f"{scan.num_beams} beams from {first:.4g} degrees on, {step:.4g} degrees apart, counter-clockwise, up to "
        f"{scan.range_max:g} m"
    )
    body = f"a disc of {spec.radius_m:g} m" if not spec.outline else f"an outline within {spec.radius_m:g} m"
    where = "" if spec.scan.mount == (0.0, 0.0) else " from x {:g}, y {:g} m".format(*spec.scan.mount)
    path = "" if spec.path is None else _PATH.format(spec.path.num_points, spec.path.spacing_m)
    forecast = _FORECAST.format(FORECAST_SPEEDS * FORECAST_TURNS) if spec.forecast else ""
    detour = _DETOUR if spec.detour else ""
    commands = _COMMANDS.format(spec.recent_commands) if spec.recent_commands else ""
    fast = f"{spec.max_speed:g} m/s and {spec.max_turn_rate:g} rad/s"
    names = ", ".join(markdown_code(name) for name in (*files, "robonav_policy/"))
    return f"""# {markdown_text(spec.name)}: a policy that drives a robot

It needs Python 3.10 or later, NumPy and onnxruntime (`pip install numpy onnxruntime`). In this folder:

```python
from robonav_policy import Lidar, Policy, SafetyLayer

policy = Policy.load(".", safety=SafetyLayer(mode="act"))
policy.reset()                                   # whenever goals are given
twist = policy.act(scan, pose, goal)             # every {spec.dt_s:g} s: {answer}
if policy.last.problem:                          # it stands then, and says why
    print(policy.last.problem)
```

* `scan`: a message of the type sensor_msgs/LaserScan, or ranges in metres. Any lidar will do that sees as much as the
  one of the training: {beams}{where}.
  `Policy.load(".", lidar=Lidar(..., mount=(x, y, yaw)))` says where it stands on the robot.
* `pose`: x, y (m) and yaw (rad) of the robot's centre in a frame that stands still; `goal`: x and y in that frame, or
  several pairs in sequence.{path}{forecast}{detour}{commands}
* The robot of the training: {body}, at most {fast}. A larger or faster robot
  is not what the policy has learned to drive.

Files: {names}. `spec.json` says what each number of an observation is and where the policy is from.
`manifest.json` has the hash of every file: hashes say that the bundle is whole, not who made it.
"""
