"""One training of ``tracker_costs.py``, in a process of its own: it trains to each number of env steps that a line of
its standard input names, and answers with ``#`` and the seconds that this took.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from proofs.bench.trackers import run


def main() -> None:
    """Serve until standard input ends."""
    folder, *overrides = sys.argv[1:]
    with run(Path(folder), [], 2.0, overrides) as live:
        print("#0", flush=True)  # noqa: T201
        for line in sys.stdin:
            began = time.perf_counter()
            live.advance(int(line))
            print(f"#{time.perf_counter() - began}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
