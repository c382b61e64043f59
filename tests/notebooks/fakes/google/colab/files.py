"""Downloads are noted."""

from pathlib import Path

from google.colab.asked import note


def download(filename: str) -> None:
    assert Path(filename).is_file()
    note(f"files.download {Path(filename).name}")
