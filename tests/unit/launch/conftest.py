"""The shipped definition and what is derived from it."""

from pathlib import Path

import pytest

from robonav_ray.config.cluster import ClusterDefinition
from robonav_ray.config.load import load_cluster_definition

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def definition() -> ClusterDefinition:
    return load_cluster_definition(ROOT / "cluster" / "cluster.yaml")
