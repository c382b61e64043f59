"""Print what CHANGELOG.md says of the version of the sources; the release's text.

python scripts/delivery/release_notes.py [--tag vX.Y.Z]; a tag that is another version, or a version without a section,
ends it with exit code 2.
"""

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
VERSION = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
SECTION = re.compile(r"^## \[([^]]+)\](?: - (\d{4}-\d\d-\d\d))?$", re.MULTILINE)


def source_version() -> str:
    """Return the version, from the one place where it stands, without importing the package."""
    found = VERSION.search((ROOT / "robonav_ray" / "__init__.py").read_text())
    if found is None:
        raise SystemExit("robonav_ray/__init__.py: has no line `__version__ = ...`")
    return found[1]


def sections(changelog: str) -> dict[str, str]:
    """Return version -> what stands below its heading; ``Unreleased`` among them."""
    _, *parts = SECTION.split(changelog)
    return {parts[i]: parts[i + 2].strip() for i in range(0, len(parts), 3)}


def notes(version: str, tag: str | None, changelog: str) -> str:
    """Return the section of ``version``; ValueError, with what to do, where there is none or the tag is another's."""
    if tag is not None and tag != f"v{version}":
        raise ValueError(
            f"the tag {tag} is not v{version}, which robonav_ray.__version__ says: set the one or the other"
        )
    found = sections(changelog)
    if not found.get(version):
        raise ValueError(
            f"CHANGELOG.md: has no section `## [{version}] - DATE` with text; give the unreleased changes that heading"
        )
    return found[version]


def main() -> int:
    """Print the notes and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tag", help="the tag that is released")
    tag = parser.parse_args().tag
    try:
        text = notes(source_version(), tag, (ROOT / "CHANGELOG.md").read_text())
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
