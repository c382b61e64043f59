"""``ros2 launch robonav_nav drive.launch.py bundle:=/path/to/bundle [params:=my.yaml] [namespace:=robot1]``."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, RegisterEventHandler
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState
from launch_ros.substitutions import FindPackageShare
from lifecycle_msgs.msg import Transition


def generate_launch_description() -> LaunchDescription:
    """Start the node, configure it, and activate it once it is configured."""
    node = LifecycleNode(
        package="robonav_nav",
        executable="drive",
        name="robonav",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        parameters=[LaunchConfiguration("params"), {"bundle": LaunchConfiguration("bundle")}],
    )
    defaults = PathJoinSubstitution([FindPackageShare("robonav_nav"), "config", "turtlebot3.yaml"])

    def change(transition: int) -> EmitEvent:
        return EmitEvent(event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=transition))

    return LaunchDescription(
        [
            DeclareLaunchArgument("bundle", description="Folder that `robonav export` has written."),
            DeclareLaunchArgument("namespace", default_value=""),
            DeclareLaunchArgument("params", default_value=defaults),
            RegisterEventHandler(
                OnProcessStart(target_action=node, on_start=[change(Transition.TRANSITION_CONFIGURE)])
            ),
            RegisterEventHandler(
                OnStateTransition(
                    target_lifecycle_node=node,
                    start_state="configuring",
                    goal_state="inactive",
                    entities=[change(Transition.TRANSITION_ACTIVATE)],
                )
            ),
            node,
        ]
    )
