"""robonav_nav: a bundle of ``robonav export`` as a node of ROS 2.

::

    scan (LaserScan) ------------------+
    odom (Odometry) -------------------+--node.py--> driver.py --robonav_policy--> limits.py --node.py--> cmd_vel
    goal_pose (PoseStamped) or path ---+                |                                                 (TwistStamped)
    parameters --parameters.py---------+                +--> status.py ------------------------> /diagnostics

``node.py`` alone knows rclpy: it turns messages into numbers (``conversions.py``) and obeys what ``driver.py`` orders.
The driver has the goals, the newest scan and odometry, and the watchdog; it asks no clock, it is told the time.
Importing this package loads nothing of ROS. The folder above makes an ament_python package of it.
"""
