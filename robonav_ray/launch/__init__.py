"""From the one cluster definition to a cluster that runs.

Consumes: a ClusterDefinition (``cluster/cluster.yaml``).
Produces: a cluster of real Ray nodes on this machine, or the files from which docker compose, ``ray up`` and KubeRay
start the same one elsewhere.
Waits for: the nodes to answer, bounded.
"""
