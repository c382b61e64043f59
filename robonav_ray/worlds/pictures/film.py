"""Several pictures as one file: an animated GIF, or some moments side by side."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from robonav_ray.files.plain_files import read_bytes, replacing
from robonav_ray.worlds.pictures import palette as col
from robonav_ray.worlds.pictures.palette import Color, mix

MAX_FILM_BYTES = 256_000_000
"""The largest film that is read."""
_LOOK_AHEAD = 32
_SAMPLES = 12
_NUM_COLORS = 128
_TRANSPARENT = 255


def save_gif(frames: Iterable[np.ndarray], path: Path | str, fps: float) -> int:
    """Write ``frames``, (H, W, 3) uint8 each, as a GIF that loops for ever; return how many there were.

    All frames share one palette, made of the frames (of the first 32, when ``frames`` is an iterator, which is read
    once and never held as a whole) and of the colours that pictures of worlds are made of. A frame lasts 1 / ``fps`` s,
    to a hundredth.
    """
    if not 0.0 < fps <= 50.0:
        raise ValueError(f"fps must be above 0 and at most 50 (what viewers of GIF can show), got {fps}")
    head, rest = _split(frames)
    if not head:
        raise ValueError("there are no frames to save")
    source = frames if rest is None else chain(head, rest)
    counted = _Counted(source)
    images = _differences(counted, _shared_palette(head))
    first = next(images)
    duration = max(20, 10 * round(100 / fps))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(Path(path)) as file:
        first.save(
            file, "GIF", save_all=True, append_images=images, duration=duration, loop=0, optimize=False, disposal=1,
            transparency=_TRANSPARENT,
        )  # fmt: skip
    return counted.count


class _Counted:
    """An iterable that knows how many items it has handed out."""

    def __init__(self, items: Iterable[np.ndarray]) -> None:
        self._items, self.count = items, 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for item in self._items:
            self.count += 1
            yield item


def _differences(frames: Iterable[np.ndarray], palette: Image.Image) -> Iterator[Image.Image]:
    """Yield the first frame, and of the later ones what changed; the rest is transparent, which halves the file."""
    before: np.ndarray | None = None
    for frame in frames:
        index = np.asarray(Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE))
        image = Image.fromarray(index if before is None else np.where(index == before, np.uint8(_TRANSPARENT), index))
        image.putpalette(palette.getpalette() or [])
        before = index
        yield image


def _split(frames: Iterable[np.ndarray]) -> tuple[list[np.ndarray], Iterator[np.ndarray] | None]:
    """Return frames to make the palette of, and the unread rest of an iterator (None for a sequence)."""
    if isinstance(frames, Sequence):
        return pick_moments(frames, _SAMPLES) if frames else [], None
    rest = iter(frames)
    return list(islice(rest, _LOOK_AHEAD)), rest


def _shared_palette(frames: Sequence[np.ndarray]) -> Image.Image:
    """Return a palette image: the named colours and their edges against the floor, then the frames' own."""
    named = [
        value
        for name, value in vars(col).items()
        if name.isupper() and isinstance(value, tuple) and isinstance(value[0], int)
    ]
    named += list(col.ROBOT)
    tones: list[Color] = list(dict.fromkeys(named))
    tones += [mix(tone, col.FLOOR, 0.5) for tone in tones]
    sample = np.concatenate([frame[::2, ::2] for frame in pick_moments(frames, _SAMPLES)], axis=1)
    learnt = Image.fromarray(sample).quantize(
        colors=_NUM_COLORS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    colors = [*chain.from_iterable(tones), *(learnt.getpalette() or [])][: 3 * 255]
    image = Image.new("P", (1, 1))
    image.putpalette(colors)
    return image


def pick_moments(frames: Sequence[np.ndarray], num: int) -> list[np.ndarray]:
    """Return ``num`` frames (fewer, when there are fewer) spread evenly from the first to the last."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(num, len(frames))).round().astype(int))
    return [frames[i] for i in chosen]


def contact_sheet(
    frames: Sequence[np.ndarray], num: int = 4, num_columns: int | None = None, gap_px: int = 12
) -> np.ndarray:
    """Return ``num`` moments of an episode side by side (or in rows of ``num_columns``), (H, W, 3) uint8; those of
    several sizes each in the middle of a field that holds the largest.
    """
    if not len(frames):
        raise ValueError("there are no frames to choose from")
    if num < 1 or gap_px < 0 or (num_columns is not None and num_columns < 1):
        raise ValueError(
            f"num ({num}) and num_columns ({num_columns}) must be at least 1, gap_px ({gap_px}) at least 0"
        )
    chosen = pick_moments(frames, num)
    columns = min(num_columns or len(chosen), len(chosen))
    rows, (height, width) = -(-len(chosen) // columns), np.max([frame.shape[:2] for frame in chosen], axis=0).tolist()
    sheet = np.empty((rows * (height + gap_px) + gap_px, columns * (width + gap_px) + gap_px, 3), np.uint8)
    sheet[:] = col.PAPER
    for i, frame in enumerate(chosen):
        top, left = gap_px + i // columns * (height + gap_px), gap_px + i % columns * (width + gap_px)
        sheet[top : top + height, left : left + width] = padded(frame, height, width)
    return sheet


def padded(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return ``frame`` in the middle of a picture of at least its size, (height, width, 3) uint8."""
    if frame.shape[:2] == (height, width):
        return frame
    picture = np.full((height, width, 3), col.PAPER, np.uint8)
    top, left = (height - frame.shape[0]) // 2, (width - frame.shape[1]) // 2
    picture[top : top + frame.shape[0], left : left + frame.shape[1]] = frame
    return picture


def save_png(picture: np.ndarray, path: Path | str) -> None:
    """Write one (H, W, 3) uint8 picture."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with replacing(Path(path)) as file:
        Image.fromarray(picture).save(file, "PNG", optimize=True)


def last_picture(path: Path | str) -> np.ndarray:
    """Return the last picture of a GIF, (H, W, 3) uint8."""
    with GifImageFile(io.BytesIO(read_bytes(Path(path), MAX_FILM_BYTES))) as film:
        film.seek(film.n_frames - 1)
        return np.array(film.convert("RGB"))
