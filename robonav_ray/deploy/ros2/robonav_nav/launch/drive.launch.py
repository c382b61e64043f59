"""Start the node: ``ros2 launch robonav_nav drive.launch.py bundle:=/path/to/bundle``."""

from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.parameter_descriptions import ParameterValue

PARAMS = Path(__file__).resolve().parents[1] / "config" / "turtlebot3.yaml"
ARGUMENTS = {
    "bundle": ("", "folder of the bundle that `robonav export` has written"),
    "params_file": (str(PARAMS), "YAML of parameters; those given here go before it"),
    "namespace": ("", "of the robot"),
    "autostart": ("true", "whether the node configures and activates itself; false: a lifecycle manager does"),
    "use_sim_time": ("false", "whether the time of messages is that of a simulation"),
}


def generate_launch_description() -> LaunchDescription:
    """Return the node with its arguments."""
    given = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    node = LifecycleNode(
        package="robonav_nav",
        executable="drive",
        name="robonav",
        namespace=given["namespace"],
        output="screen",
        parameters=[
            given["params_file"],
            {
                "bundle": ParameterValue(given["bundle"], value_type=str),
                "autostart": ParameterValue(given["autostart"], value_type=bool),
                "use_sim_time": ParameterValue(given["use_sim_time"], value_type=bool),
            },
        ],
    )
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, node])
