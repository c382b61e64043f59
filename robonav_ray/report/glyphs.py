"""Text for the PDF: characters that act on it or that its fonts lack are written as escapes; under PDF/A each would be
an error.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from robonav_ray.errors import UserError
from robonav_ray.text import visible

FALLBACK_FONT = "DejaVuSans.ttf"
"""Comes with matplotlib, so that every machine sets the same glyphs; the fonts of the system are never used."""


def fonts_folder() -> Path:
    """Return the folder of matplotlib's fonts.

    Raises:
        UserError: When the font is not in it.
    """
    import matplotlib as mpl

    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    if not (folder / FALLBACK_FONT).is_file():
        raise UserError(
            f"{folder / FALLBACK_FONT}: this font, which comes with matplotlib, is not there, and the report is set in "
            "it; install matplotlib anew (pip install --force-reinstall matplotlib)"
        )
    return folder


@cache
def _known() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(fonts_folder() / FALLBACK_FONT)).get_charmap())


def set_text(text: str) -> str:
    r"""Return ``text`` with every character that no font of ours has, or that acts on the page, as an escape:
    ``\u4e2d``.
    """
    shown = visible(text)
    if shown.isascii():
        return shown
    known = _known()
    return "".join(c if c in "\n\t" or ord(c) in known else c.encode("unicode_escape").decode("ascii") for c in shown)
