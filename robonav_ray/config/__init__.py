"""Every knob, with its default and its check; one file per room.

Consumes: YAML files and ``a.b=c`` overrides.
Produces: a frozen RunConfig.
Waits for: nothing.
"""

from robonav_ray.config.run import RunConfig

__all__ = ["RunConfig"]
