"""robonav_policy: what a robot needs to drive with an exported policy: NumPy, onnxruntime, and a bundle.

::

    from robonav_policy import Policy

    policy = Policy.load("bundle")
    twist = policy.act(scan, pose, goal)          # every spec.dt_s seconds; Twist(linear m/s, angular rad/s)

    laser scan --scans.py--> range per sector --+
    pose - alignment.py - forecast.py, detour.py +--observation.py--> obs --models.py--> Q --policy.py--> twist
    goals, twist -------------------------------+                   limits, and safety.py where it is on

``bundle.py`` opens a bundle and holds it against its hashes; ``spec.py`` is what ``spec.json`` says, checked. All is
SI; axes are those of REP 103 (x ahead, y left, yaw counter-clockwise). Nothing here imports torch, Ray, Numba or
robonav_ray, and importing it loads NumPy alone.
"""

from robonav_policy.bundle import Bundle, read_bundle
from robonav_policy.errors import BundleError, PolicyError, ScanError
from robonav_policy.goals import GoalSequence
from robonav_policy.policy import Decision, Policy, Twist, Velocity
from robonav_policy.safety import SafetyLayer
from robonav_policy.scans import Lidar
from robonav_policy.spec import FORMAT_VERSION, Spec

__all__ = [
    "FORMAT_VERSION",
    "Bundle",
    "BundleError",
    "Decision",
    "GoalSequence",
    "Lidar",
    "Policy",
    "PolicyError",
    "SafetyLayer",
    "ScanError",
    "Spec",
    "Twist",
    "Velocity",
    "read_bundle",
]
