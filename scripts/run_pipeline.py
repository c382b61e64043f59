"""The same as ``robonav pipeline run``, from any folder."""

from _door import become

if __name__ == "__main__":
    become("robonav_ray", "pipeline", "run")
