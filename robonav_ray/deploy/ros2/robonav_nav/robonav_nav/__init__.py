"""Drives a robot of ROS 2 with a bundle: ``driver.py`` decides, ``node.py`` is its lifecycle node."""
