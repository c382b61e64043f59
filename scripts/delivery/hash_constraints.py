"""Write ``constraints-hashed.txt`` and ``constraints-hashed-cuda.txt`` anew: what the core needs, in the versions of
``constraints.txt``, with the SHA-256 of every file that the index has of them. ``make hashes`` calls it.

``torch`` is in the second file alone, with the CUDA packages that it needs: without them it is another file, of another
index, and which of the two a machine shall have is its user's choice (docs/ci.md).
"""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAD = """\
# Written by `make hashes` from pyproject.toml and constraints.txt; do not edit.
# {what}
#   {how}
# A version has the hashes of all its files, for every platform and Python; pip takes the file that fits here.
"""
CORE = (
    "What the core needs, torch left out: its build is another on each kind of machine.",
    "pip install --require-hashes -r constraints-hashed.txt",
)
CUDA = (
    "torch for CUDA, and what it needs beside the core.",
    "pip install --require-hashes -r constraints-hashed.txt -r constraints-hashed-cuda.txt",
)
OF_TORCH = ("filelock", "fsspec", "jinja2", "networkx", "sympy", "typing-extensions")
"""What every build of torch needs."""


def resolved(requirements: list[str]) -> dict[str, str]:
    """Return name -> the lines of one requirement with its hashes, as uv writes them."""
    command = ["uv", "pip", "compile", "-", "-c", "constraints.txt", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-annotate", "--no-header", "--quiet"]
    done = subprocess.run(command, input="\n".join(requirements), capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"uv cannot resolve this:\n{done.stderr}")
    blocks: dict[str, str] = {}
    name = ""
    for line in done.stdout.splitlines(keepends=True):
        name = name if line.startswith(" ") else line.partition("==")[0]
        blocks[name] = blocks.get(name, "") + line
    return blocks


def main() -> None:
    """Write both files."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = resolved([*(word for word in project["dependencies"] if not word.startswith("torch")), *OF_TORCH])
    cuda = {name: block for name, block in resolved([*project["dependencies"]]).items() if name not in core}
    for path, (what, how), blocks in (
        ("constraints-hashed.txt", CORE, core),
        ("constraints-hashed-cuda.txt", CUDA, cuda),
    ):
        (ROOT / path).write_text(HEAD.format(what=what, how=how) + "".join(blocks.values()))
        sys.stdout.write(f"{path}: {len(blocks)} packages\n")


if __name__ == "__main__":
    main()
