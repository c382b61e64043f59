"""Run the default suite in two lanes side by side: what needs Ray waits much and computes little, the rest the other
way round. A third part of it is taken by the lane that ends first.

python tests/lanes.py [PYTEST'S ARGUMENTS]; the exit code is 0 when all parts pass.
"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LAST = ["tests/security", *(f"tests/unit/{room}" for room in ("algo", "learner", "runtime", "tuning", "verbs"))]
PARTS = {
    "ray": ("ray", ["tests/ray", "tests/contracts"]),
    "rest": ("not ray", ["tests", *(f"--ignore={folder}" for folder in LAST)]),
    "last": ("not ray", LAST),
}
"""Marks and folders of each. The imports of all other tests would cost the part with Ray 10 s."""
DEFAULT = "not slow and not gpu and not perf"
NOTHING_COLLECTED = 5


def parts(arguments: list[str]) -> dict[str, list[str]]:
    """Return what each part runs, from the root of the repository; paths among ``arguments`` take the place of its
    folders."""
    chosen = any(Path(word.partition("::")[0]).exists() for word in arguments)
    names = ["ray", "rest"] if chosen else list(PARTS)
    return {
        name: [sys.executable, "-m", "pytest", "-m", f"{DEFAULT} and {marks}", "--durations=10", *arguments]
        + ([] if chosen else folders)
        for name, (marks, folders) in PARTS.items()
        if name in names
    }


def run(name: str, command: list[str]) -> int:
    """Run a part and return its exit code; each line that it prints is printed behind its name."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            print(f"{name:4} | {line}", end="", flush=True)
    return process.returncode


def main() -> int:
    """Run all parts, two at a time, and return the exit code."""
    commands = parts(sys.argv[1:])
    with ThreadPoolExecutor(2) as lanes:
        return exit_code(*lanes.map(run, commands, commands.values()))


def exit_code(*codes: int) -> int:
    """Return 0 when all lanes passed, of which some may have had nothing to do; else 1, also for one that a signal has
    ended (< 0)."""
    return 0 if 0 in codes and set(codes) <= {0, NOTHING_COLLECTED} else 1


if __name__ == "__main__":
    sys.exit(main())
