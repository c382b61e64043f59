"""The same as ``robonav pipeline run``, from any folder."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).parents[1]))  # of a checkout that is not installed
    from robonav_ray.cli import main

    sys.argv[1:1] = ["pipeline", "run"]
    main()
