"""What the notebooks asked of Colab, one line each, in COLAB_ASKED."""

import os
from pathlib import Path


def note(line: str) -> None:
    with Path(os.environ["COLAB_ASKED"]).open("a") as asked:
        asked.write(line + "\n")
