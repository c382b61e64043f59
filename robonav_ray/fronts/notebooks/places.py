"""Where a notebook's files lie on the platform that it runs on, and what Colab and Kaggle do for them.

===========  ====================================  ==================================  =========================
Platform     fast, gone with the session           kept                                attached
===========  ====================================  ==================================  =========================
Colab        ``/content``                          ``/content/drive/MyDrive/FOLDER``
Kaggle       ``/kaggle/temp``                      ``/kaggle/working``, by a version   ``/kaggle/input``
elsewhere    ``FOLDER`` in the current folder      the same
===========  ====================================  ==================================  =========================

``ROBONAV_NOTEBOOK_ROOT`` takes the place of ``/content`` and ``/kaggle``, for tests on other machines.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import check_folder

ROOT = "ROBONAV_NOTEBOOK_ROOT"
Platform = Literal["colab", "kaggle", "here"]


@dataclass(frozen=True)
class Place:
    """Where files lie."""

    platform: Platform
    scratch: Path
    """Fast, and gone with the session."""
    kept: Path
    """What outlives the session."""
    attached: Path | None = None
    """Data sets that are attached to the notebook, which can only be read."""

    @property
    def runs(self) -> Path:
        """Where runs are made."""
        return (self.scratch if self.platform == "colab" else self.kept) / "runs"

    @property
    def storage(self) -> Path | None:
        """Where runs are stored besides: where they are made somewhere that does not outlive the session."""
        return self.kept / "runs" if self.platform == "colab" else None

    def _repr_markdown_(self) -> str:
        attached = "" if self.attached is None else f"<br>attached: `{self.attached}`"
        return f"**{_NAMES[self.platform]}**<br>runs are made in `{self.runs}`<br>kept: `{self.kept}`{attached}"


_NAMES = {"colab": "Google Colab", "kaggle": "Kaggle", "here": "This machine"}


def platform_name() -> Platform:
    """Return which platform this is."""
    if "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
        return "kaggle"
    if "google.colab" in sys.modules:
        return "colab"
    try:
        return "here" if find_spec("google.colab") is None else "colab"
    except ModuleNotFoundError:  # there is no package google at all
        return "here"


def colab_place(folder: str = "robonav_ray") -> Place:
    """Mount the user's Google Drive, which asks for leave once a session, and return where files lie; ``folder`` in it
    is made.

    On another platform than Colab everything lies in ``folder`` below the current folder.

    Raises:
        UserError: When ``folder`` is no name of a folder within the Drive.
    """
    name = PurePosixPath(folder)
    if not folder or name.is_absolute() or ".." in name.parts:
        raise UserError(
            f"drive_folder {folder!r}: must be the name of a folder in your Drive, for instance robonav_ray"
        )
    if platform_name() != "colab":
        return _made(Place("here", Path.cwd() / name, Path.cwd() / name))
    from google.colab import drive  # type: ignore[import-not-found]  # it is there on Colab

    root = Path(os.environ.get(ROOT, "/content"))
    drive.mount(str(root / "drive"))
    return _made(Place("colab", root, root / "drive" / "MyDrive" / name))


def kaggle_place() -> Place:
    """Return where files lie on Kaggle; on another platform everything lies in ``robonav_ray`` below the current
    folder.
    """
    if platform_name() != "kaggle":
        return _made(Place("here", Path.cwd() / "robonav_ray_files", Path.cwd() / "robonav_ray_files"))
    root = Path(os.environ.get(ROOT, "/kaggle"))
    attached = root / "input"
    return _made(Place("kaggle", root / "temp", root / "working", attached if attached.is_dir() else None))


def _made(place: Place) -> Place:
    for folder in (place.scratch, place.kept):
        folder.mkdir(parents=True, exist_ok=True)
        check_folder(folder)
    return place


def secret(name: str) -> str | None:
    """Return a secret of the user (Colab: the key in the bar on the left), else the environment variable ``name``; None
    where there is neither, or the notebook may not read it.
    """
    if platform_name() == "colab":
        from google.colab import userdata  # type: ignore[import-not-found]  # it is there on Colab

        try:
            return str(userdata.get(name))
        except (userdata.SecretNotFoundError, userdata.NotebookAccessError):
            pass
    return os.environ.get(name)


def hand_to_browser(path: Path) -> None:
    """Have the browser download a file, where the platform can: on Colab."""
    if platform_name() == "colab":
        from google.colab import files  # type: ignore[import-not-found]  # it is there on Colab

        files.download(str(path))


def finish_writing(place: Place) -> None:
    """Return when the Drive has everything, and is no longer mounted: what is written to it travels in the background,
    and a session that ends before loses it.
    """
    if place.platform == "colab":
        from google.colab import drive  # type: ignore[import-not-found]  # it is there on Colab

        drive.flush_and_unmount()


def show_served(port: int, height: int = 700) -> Any:
    """Show what a program of this session serves at ``port`` of 127.0.0.1, in the output of the cell."""
    if platform_name() == "colab":
        from google.colab import output  # type: ignore[import-not-found]  # it is there on Colab

        return output.serve_kernel_port_as_iframe(port, height=str(height))
    from IPython.display import IFrame  # type: ignore[import-not-found]  # the kernel runs in it

    return IFrame(f"http://127.0.0.1:{port}", width="100%", height=height)
