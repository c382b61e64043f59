"""Install the wheel with each extra alone into an empty environment, import what the extra brings, and say how long it
took.

python scripts/delivery/install_extras.py [--dry-run] [--uv] [EXTRA ...]; all extras without a name. ``--dry-run``
resolves alone; ``--uv`` has uv install, which links files of its cache where pip writes gigabytes. Exit code 1 when one
cannot be installed, is at odds with another package, or cannot be imported.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMPORT = """
import importlib, re, sys
from importlib.metadata import packages_distributions
plain = lambda name: re.sub(r"[-_.]+", "-", name).lower()
brought = {}
for module, names in packages_distributions().items():
    if module.isidentifier() and not module.startswith("_"):
        for name in names:
            brought.setdefault(plain(name), []).append(module)
for name in sys.argv[1:]:
    modules = sorted(brought.get(plain(name), []), key=lambda module: (plain(module) != plain(name), len(module)))
    if modules:
        importlib.import_module(modules[0])
"""
"""For the Python of the environment: imports one module of each package that is named; one that brings only a program
has none."""


def extras() -> dict[str, list[str]]:
    """Return each extra -> the names of its packages."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {
        extra: [re.split(r"[\[<>=!~; ]", word)[0] for word in words]
        for extra, words in project["optional-dependencies"].items()
    }


def failed(*command: str | Path) -> str:
    """Return the last lines of what a command has said, when it failed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, cwd="/")
    if not done.returncode:
        return ""
    lines = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("WARNING")]
    return " / ".join(lines[-3:]) or "ended without a word"


def install(extra: str, packages: list[str], wheel: Path, dry_run: bool, by_uv: bool) -> str:
    """Install ``extra`` into an empty environment, out of reach of PYTHONPATH; return what went wrong, or nothing."""
    with tempfile.TemporaryDirectory(prefix="robonav-extra-") as folder:
        venv.create(folder, with_pip=not by_uv)
        python = Path(folder, "bin", "python")
        tool, of = (["uv", "pip"], ["--python", python]) if by_uv else ([python, "-I", "-m", "pip"], [])
        options = ["-q", "-c", ROOT / "constraints.txt", *(["--dry-run"] if dry_run else [])]
        told = failed(*tool, "install", *of, *options, f"{wheel}[{extra}]")
        if told or dry_run:
            return told
        return (
            failed(*tool, "check", *of)
            or failed(python, "-I", "-W", "ignore", "-c", IMPORT, *packages)
            or failed(python, "-I", "-m", "robonav_ray", "--version")
        )


def main() -> int:
    """Print a line for each extra and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help="only these")
    parser.add_argument("--dry-run", action="store_true", help="resolve, install nothing")
    parser.add_argument("--uv", action="store_true", help="have uv install")
    asked, known = parser.parse_args(), extras()
    if unknown := sorted(set(asked.extras) - set(known)):
        parser.error(f"no such extra: {', '.join(unknown)}; there are {', '.join(known)}")
    faults = 0
    with tempfile.TemporaryDirectory(prefix="robonav-wheel-") as folder:
        if told := failed(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT):
            sys.stderr.write(f"the wheel cannot be built: {told}\n")
            return 1
        (wheel,) = Path(folder).glob("*.whl")
        for extra in asked.extras or known:
            begun = time.monotonic()
            told = install(extra, known[extra], wheel, asked.dry_run, asked.uv)
            faults += bool(told)
            sys.stdout.write(f"{extra:12} {time.monotonic() - begun:6.1f} s  {told or 'whole'}\n")
            sys.stdout.flush()
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
