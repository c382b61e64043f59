"""Look for secrets in every line that any commit has added: keys and tokens by their form, names with a password in an
address.

What was once committed stays in the history, so the newest files alone would say little. Exit code 1 with commit and
file of each finding; its value is not printed. ``make audit-secrets`` calls it (some thirty seconds).
"""

import subprocess
import sys

# It is in an environment of its own (`make audit-secrets`), which the check of types does not see.
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class  # pyright: ignore[reportMissingImports]
from detect_secrets.core.scan import scan_line  # pyright: ignore[reportMissingImports]
from detect_secrets.settings import transient_settings  # pyright: ignore[reportMissingImports]

GUESSES = {"Base64HighEntropyString", "HexHighEntropyString", "IPPublicDetector", "KeywordDetector"}
"""Detectors that take hashes, addresses and words of ours for secrets; the others know a form."""
NOT_OURS = (":!constraints-hashed*.txt",)
MADE_UP = {
    *("PASSWORD", "canary", "hunter2", "p", "password", "secret", "w", "word"),
    *("%s", "{MARK}", "{MARK}-of-a-uri", "{OTHER_KEY}", "{server.password}"),
}
"""Words that tests and pages have in the place of a password."""
FIRST_LINES = ("tests/unit/launch/test_packing.py",)
"""Files that hold the first lines of keys, and no key."""


def added_lines() -> dict[str, tuple[str, str]]:
    """Return each line that was ever added -> the newest commit and file that did."""
    command = ["git", "log", "-p", "--unified=0", "--no-color", "--no-textconv", "--format=commit %h", "HEAD"]
    done = subprocess.run(
        [*command, "--", ".", *NOT_OURS], capture_output=True, text=True, errors="replace", check=True
    )
    found: dict[str, tuple[str, str]] = {}
    commit = file = ""
    for line in done.stdout.splitlines():
        if line.startswith("commit "):
            commit = line.removeprefix("commit ")
        elif line.startswith("+++ "):
            file = line.removeprefix("+++ b/")
        elif line.startswith("+"):
            found.setdefault(line[1:], (commit, file))
    return found


def is_made_up(kind: str, value: str, file: str) -> bool:
    """Whether a finding only looks like a secret."""
    return file in FIRST_LINES if kind == "Private Key" else value in MADE_UP


def main() -> int:
    """Print what was found and return the exit code."""
    plugins = [
        {"name": detector.__name__}
        for detector in get_mapping_from_secret_type_to_class().values()
        if detector.__name__ not in GUESSES
    ]
    lines, findings = added_lines(), 0
    with transient_settings({"plugins_used": plugins, "filters_used": []}):
        for line, (commit, file) in lines.items():
            for secret in scan_line(line):
                if not is_made_up(secret.type, secret.secret_value or "", file):
                    sys.stdout.write(f"{commit} {file}: {secret.type}\n")
                    findings += 1
    sys.stdout.write(f"{len(lines):,} lines that were ever added, {findings} findings\n")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
