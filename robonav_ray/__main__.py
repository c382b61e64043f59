"""``python -m robonav_ray`` is ``robonav``."""

from robonav_ray.cli import main

if __name__ == "__main__":
    main()
