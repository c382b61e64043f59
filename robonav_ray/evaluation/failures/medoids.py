"""k-medoids, small and deterministic: the same points give the same clusters, for every number of clusters."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

MAX_POINTS = 600
"""Points that clusters are made of: of more, so many spread evenly; the others join the nearest one."""
MAX_CLUSTERS = 6
LEAST_SILHOUETTE = 0.15
"""Mean silhouette below which there is one cluster only. Low, as clusters that come to one name are one again."""
_ROUNDS = 30


def cluster_points(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cluster of every point, (F,) int64, and the medoids, (K,) int64 positions.

    The number of clusters is the one of 2 to ``MAX_CLUSTERS`` with the highest mean silhouette (Rousseeuw 1987), or 1.
    Medoids are built one by one and then moved in turn with the assignment (Kaufman and Rousseeuw 1990; Park and Jun
    2009); a tie goes to the first point.

    Args:
        points: (F, D) float64, finite.
    """
    num = len(points)
    chosen = np.arange(num) if num <= MAX_POINTS else np.linspace(0, num - 1, MAX_POINTS).round().astype(np.int64)
    distance = cdist(points[chosen], points[chosen])
    best, medoids = LEAST_SILHOUETTE, np.array([int(distance.sum(axis=1).argmin())])
    for k in range(2, min(MAX_CLUSTERS, len(chosen) // 2) + 1):
        found = _medoids(distance, k)
        score = mean_silhouette(distance, distance[:, found].argmin(axis=1))
        if score > best + 1e-9:
            best, medoids = score, found
    medoids = chosen[medoids]
    return cdist(points, points[medoids]).argmin(axis=1), medoids


def mean_silhouette(distance: np.ndarray, label: np.ndarray) -> float:
    """Return the mean over all points of (b - a) / max(a, b), with the distances a to the own, b to the next cluster.

    A point that is alone in its cluster counts as 0.
    """
    mask = label[:, None] == np.unique(label)
    count, place = mask.sum(axis=0), mask.argmax(axis=1)
    if len(count) < 2:
        return 0.0
    total, rows = distance @ mask, np.arange(len(label))
    own = total[rows, place] / np.maximum(count[place] - 1, 1)
    mean = total / count
    mean[rows, place] = np.inf
    other = mean.min(axis=1)
    width = np.where(count[place] > 1, (other - own) / np.maximum(np.maximum(own, other), 1e-12), 0.0)
    return float(width.mean())


def _medoids(distance: np.ndarray, k: int) -> np.ndarray:
    medoids = [int(distance.sum(axis=1).argmin())]
    near = distance[medoids[0]].copy()
    while len(medoids) < k:  # the point that takes most off the sum of distances
        gain = np.maximum(near - distance, 0.0).sum(axis=1)
        medoids.append(int(gain.argmax()))
        near = np.minimum(near, distance[medoids[-1]])
    found = np.array(medoids)
    for _ in range(_ROUNDS):
        label = distance[:, found].argmin(axis=1)
        moved = found.copy()
        for c in range(k):
            own = np.flatnonzero(label == c)
            if len(own):
                moved[c] = own[distance[np.ix_(own, own)].sum(axis=1).argmin()]
        if (moved == found).all():
            break
        found = moved
    return np.unique(found)
