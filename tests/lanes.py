"""Run the default suite in two lanes side by side: what needs Ray waits much and computes little, the rest the other
way round.

python tests/lanes.py [PYTEST'S ARGUMENTS]; the exit code is 0 when both lanes pass.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LANES = {"ray": "ray", "rest": "not ray"}
FOLDERS = {"ray": ["tests/ray", "tests/contracts"], "rest": []}
"""What a lane collects, unless paths are given; the imports of all other tests would cost the one with Ray 10 s."""
DEFAULT = "not slow and not gpu and not perf"
NOTHING_COLLECTED = 5


def command(name: str, arguments: list[str]) -> list[str]:
    """Return what a lane runs, from the root of the repository."""
    paths = [] if any(Path(word.partition("::")[0]).exists() for word in arguments) else FOLDERS[name]
    marks = f"{DEFAULT} and {LANES[name]}"
    return [sys.executable, "-m", "pytest", "-m", marks, "--durations=10", *arguments, *paths]


@contextmanager
def lane(name: str, arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Start a lane; each line that it prints is printed behind its name. It is ended with the block."""
    process = subprocess.Popen(command(name, arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def tell() -> None:
        for line in process.stdout or ():
            print(f"{name:4} | {line}", end="", flush=True)

    teller = threading.Thread(target=tell)
    teller.start()
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
        teller.join()


def main() -> int:
    """Run both lanes and return the exit code."""
    with lane("ray", sys.argv[1:]) as ray, lane("rest", sys.argv[1:]) as rest:
        return exit_code(ray.wait(), rest.wait())


def exit_code(*codes: int) -> int:
    """Return 0 when all lanes passed, of which some may have had nothing to do; else 1, also for one that a signal has
    ended (< 0)."""
    return 0 if 0 in codes and set(codes) <= {0, NOTHING_COLLECTED} else 1


if __name__ == "__main__":
    sys.exit(main())
