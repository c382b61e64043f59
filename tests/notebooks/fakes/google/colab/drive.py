"""The Drive is a folder beside the machine, COLAB_DRIVE, and lies in the mount point while it is mounted."""

import os
from pathlib import Path

from google.colab.asked import note


def mount(mountpoint: str, force_remount: bool = False) -> None:
    note("drive.mount")
    Path(mountpoint).mkdir(parents=True, exist_ok=True)
    drive = Path(mountpoint) / "MyDrive"
    if not drive.exists():
        Path(os.environ["COLAB_DRIVE"]).rename(drive)


def flush_and_unmount() -> None:
    note("drive.flush_and_unmount")
    (Path(os.environ["ROBONAV_NOTEBOOK_ROOT"]) / "drive" / "MyDrive").rename(os.environ["COLAB_DRIVE"])
