"""What pyproject.toml cannot say: the wheel holds the configs of the repository, where people edit them, as
``robonav_ray/shipped/``.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = ("configs/**/*.yaml", "configs/maps/*.png", "cluster/cluster.yaml")


class BuildWithConfigs(build_py):
    """Copies them beside the modules; an editable installation finds them where they are."""

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        if self.editable_mode:
            return
        shipped = Path(self.build_lib, "robonav_ray", "shipped")
        shutil.rmtree(shipped, ignore_errors=True)  # of an earlier build
        for path in (path for pattern in SHIPPED for path in sorted(Path().glob(pattern))):
            (shipped / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, shipped / path)


setup(cmdclass={"build_py": BuildWithConfigs})
