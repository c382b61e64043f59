"""Names and units for what the parts return: ``room/quantity_unit``."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from robonav_ray.commands import Described, Refused
from robonav_ray.histograms import Histogram
from robonav_ray.records import Metrics
from robonav_ray.replay.pacing import LedgerStats
from robonav_ray.replay.shard_records import PRIORITY_EDGES, ShardStats
from robonav_ray.rollout.episode_book import LENGTH_EDGES
from robonav_ray.rollout.rollout_stats import RolloutStats

logger = logging.getLogger(__name__)


def replay_metrics(ledger: LedgerStats, shards: Sequence[ShardStats]) -> Metrics:
    """Return the replay's figures; those of shards that did not answer are missing from the sums."""
    return {
        "replay/size": float(sum(s.size for s in shards)),
        "replay/priority_mass": float(sum(s.mass for s in shards)),
        "replay/rows_inserted": float(ledger.num_inserted),
        "replay/rows_sampled": float(ledger.num_sampled),
        "replay/rows_lost": float(ledger.num_lost_insert_rows),
        "replay/fragments_lost": float(ledger.num_lost_inserts),
        "replay/samples_per_insert": ledger.achieved_samples_per_insert,
        "replay/balance_rows": ledger.balance,
        "replay/duplicate_fragments": float(sum(s.num_duplicates for s in shards)),
        "replay/stale_priorities": float(sum(s.num_stale for s in shards)),
    }


def rollout_metrics(stats: RolloutStats, policy_lag: int) -> Metrics:
    """Return the rollout's figures of this session; ``policy_lag`` is the largest since the last look, in versions."""
    return {
        "rollout/fragments": float(stats.fragments),
        "rollout/episodes": float(stats.episodes),
        "rollout/policy_version": float(stats.policy_version),
        "rollout/policy_lag_max": float(policy_lag),
    }


def priority_histogram(counts: Sequence[np.ndarray]) -> Histogram:
    """Return the priorities of the whole replay from what each shard has counted."""
    return Histogram("replay/priority", PRIORITY_EDGES, np.stack(counts).sum(axis=0, dtype=np.float64))


class LengthCounts:
    """Lengths of episodes, counted between two looks."""

    def __init__(self) -> None:
        self._told = np.zeros(len(LENGTH_EDGES) - 1)

    def take(self, stats: RolloutStats) -> Histogram:
        """Return the lengths of the episodes of ``stats``, all of this session, that ended since the last call."""
        counts = np.array(stats.length_counts, np.float64)
        fresh, self._told = counts - self._told, counts
        return Histogram("rollout/episode_length", LENGTH_EDGES, fresh)


class LearnerHistograms:
    """What a learner has counted; why it could not is logged the first time, and charts go on without it."""

    def __init__(self) -> None:
        self._has_told = False

    def of(self, answer: Described | Refused | None) -> tuple[Histogram, ...]:
        """Return the histograms of an answer; none of a refusal, and of None: the learner was lost meanwhile."""
        if isinstance(answer, Described):
            return answer.histograms
        if answer is not None and not self._has_told:
            self._has_told = True
            logger.warning("the learner's histograms are left out: %s", answer.reason)
        return ()
