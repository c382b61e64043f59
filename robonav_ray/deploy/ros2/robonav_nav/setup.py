"""Builds the ROS 2 package: the node, and robonav_policy, which lies beside this folder in a bundle."""

from glob import glob

from setuptools import setup

setup(
    name="robonav_nav",
    version="0.1.0",
    packages=["robonav_nav", "robonav_policy"],
    package_dir={"robonav_nav": "robonav_nav", "robonav_policy": "../robonav_policy"},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/robonav_nav"]),
        ("share/robonav_nav", ["package.xml"]),
        ("share/robonav_nav/launch", glob("launch/*.py")),
        ("share/robonav_nav/config", glob("config/*.yaml")),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    entry_points={"console_scripts": ["drive = robonav_nav.node:main"]},
)
