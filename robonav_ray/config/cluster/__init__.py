"""The cluster definition: what a cluster is made of (``definition.py``), and the places where it can be
(``places.py``).

Consumes: a YAML file. Produces: a frozen ClusterDefinition. Waits for: nothing.
"""

from robonav_ray.config.cluster.definition import ClusterDefinition, LocalConfig, NodeGroupConfig, StorageConfig

__all__ = ["ClusterDefinition", "LocalConfig", "NodeGroupConfig", "StorageConfig"]
