"""What parts raise while they take up a checkpoint, said as a fault of that checkpoint."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator

from safetensors import SafetensorError

from robonav_ray.ranges import RangeError
from robonav_ray.runs.checkpoint import Checkpoint, CheckpointError


@contextlib.contextmanager
def taking_up(checkpoint: Checkpoint) -> Iterator[None]:
    """Make a CheckpointError of any error while parts take up what ``checkpoint`` holds.

    Its files are whole, so what does not fit was written for another config, or by an attacker.
    """
    try:
        yield
    except CheckpointError:
        raise
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        SafetensorError,
        zipfile.BadZipFile,
    ) as error:
        cause = getattr(error, "cause", error)
        what = str(cause).strip() or type(error).__name__
        if isinstance(cause, RangeError):
            raise CheckpointError(f"{checkpoint.path}/{what}; use another checkpoint") from None
        raise CheckpointError(f"{checkpoint.path}: cannot be taken up: {what}") from error
