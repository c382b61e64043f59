"""The ament_python package ``robonav_nav``, which brings ``robonav_policy`` with it."""

from setuptools import setup

setup(
    name="robonav_nav",
    version="1.0.0",
    description="Drives a robot with a policy of robonav_ray",
    license="Apache-2.0",
    packages=["robonav_nav", "robonav_policy"],
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/robonav_nav"]),
        ("share/robonav_nav", ["package.xml", "README.md"]),
        ("share/robonav_nav/launch", ["launch/drive.launch.py"]),
        ("share/robonav_nav/config", ["config/turtlebot3.yaml"]),
    ],
    install_requires=["setuptools", "numpy"],
    zip_safe=True,
    entry_points={"console_scripts": ["drive = robonav_nav.node:main"]},
)
