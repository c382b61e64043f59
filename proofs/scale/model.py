"""What limits a run: calls and bytes per second at each arrow of the drawing, and how busy that keeps each process.

Every part of the system is a process that does one thing at a time, so it is busy for (calls per second) x (seconds per
call), and the run goes at the rate at which the first of them is busy all the time. Rates follow from the config,
seconds per call from ``bench_scale.py capacities``. Pure arithmetic, no Ray.

With R rows inserted per second (an env step makes one), per second:

=============  =========================================================  ===================================
arrow          calls                                                      bytes
=============  =========================================================  ===================================
insert         F = R / (worlds per worker x steps_per_fragment)           R x row
draw           D = ranks x U / batches_per_call                           q R x row, of which each shard 1 / S
sample         D x S (each draw asks every shard)
priorities     D x S / 4                                                  q R x 12
reserve        F + D, and as many settlements; 2 per worker that waits
assignment     min(F, 20 x workers)
weights        F polls, P = U / publish_interval publications             P x snapshot to every node
mailbox        U / report_interval + 4
slice          workers / max(0.5 s, seconds per fragment)
all-reduce     U per rank                                                 2 (n - 1) / n x 4 x parameters
=============  =========================================================  ===================================

with q = samples_per_insert and U = q R / batch_size updates per second.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

SLICE_S, ASSIGNMENTS_PER_S, CALLS_PER_SEND, DRIVER_POLLS_PER_S, WAITING_CALLS_PER_S = 0.5, 20.0, 4, 4.0, 2.0
"""Constants of the product: see ``rollout/fleet.py``, ``curriculum/remote.py``, ``replay/client_remote.py``,
``runtime/controller.py``."""
SERVICES = ("ledger", "curriculum", "weights", "mailbox", "driver")
"""Parts of which there is one each, so that no number of cores makes them faster."""
PRIORITY_BYTES = 12
SERVICE_LIMIT, PART_LIMIT = 0.5, 0.8
"""How busy a recommendation keeps services, and shards, ranks and cores: bursts and everything that is not modelled
need the rest."""
MAX_FRAGMENT_S, MIN_WORLDS, DEFAULT_BATCH_SIZE, MAX_BATCH_SIZE = 4.0, 64, 256, 2048
"""Bounds of a recommendation: seconds that a fragment may take, the worlds and the batch of the default config, the
largest batch."""
LINK_BYTES_PER_S = 1.25e9
"""10 Gbit/s, the link of a node that a recommendation counts on: an assumption, nothing here measures it."""


@dataclass(frozen=True)
class Line:
    """Seconds of one call with so many rows: ``call_s + row_s * rows``."""

    call_s: float
    row_s: float = 0.0

    def at(self, rows: float) -> float:
        """Seconds of a call with ``rows`` rows."""
        return self.call_s + self.row_s * rows


@dataclass(frozen=True)
class Costs:
    """CPU seconds per call (measured by ``capacities``); of the serving process, but for the last two blocks."""

    reserve_s: float
    settle_s: float
    assignment_s: float
    weights_s: float
    publish_s: float
    mailbox_s: float
    insert: Line
    sample: Line
    priorities: Line

    slice_s: float
    """Of the driver, per answer of a worker."""
    pull_s: float
    """Of a rollout worker, per new version."""
    ship: Line
    """Of a rollout worker, per fragment and row in it: reservation, insert, poll of weights and assignment."""
    ship_latency_s: float
    """Seconds that pass for a rollout worker per fragment meanwhile."""
    step: Line
    """Of a rollout worker, per vector step and world: physics and acting."""

    draw: Line
    """Of a rank, per draw and row: reservation, mixing, copies, priorities."""
    update: Line
    """Of a rank, per update and row."""
    all_reduce: Line
    """Seconds of an all-reduce over two ranks, per call and float."""
    snapshot_floats: int

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON takes; ``from_dict`` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Costs:
        """Read what ``as_dict`` returned; TypeError for other keys."""
        read: dict[str, Any] = {
            name: Line(**value) if isinstance(value, Mapping) else value for name, value in data.items()
        }
        return cls(**read)


@dataclass(frozen=True)
class Settings:
    """What of a config counts, and the machines."""

    num_workers: int
    num_worlds: int
    num_shards: int
    num_ranks: int = 1
    steps_per_fragment: int = 32
    batch_size: int = 256
    batches_per_call: int = 16
    samples_per_insert: float = 2.0
    publish_interval: int = 20
    report_interval: int = 50
    row_bytes: int = 976
    cores: float = 2.0
    num_nodes: int = 1
    sleep_s: float = 0.0
    """Seconds of a vector step in which no core is busy."""
    world_s: float = 0.0
    """CPU seconds of a step of one world beyond those of ours."""
    shard_row_s: float = 0.0
    """Seconds that a shard sleeps per row drawn."""

    @property
    def worlds_per_worker(self) -> float:
        """On average."""
        return self.num_worlds / self.num_workers

    @property
    def num_parts(self) -> int:
        """Processes that share the work."""
        return self.num_workers + self.num_shards + self.num_ranks

    @property
    def fragment_rows(self) -> float:
        """Rows of a fragment."""
        return self.worlds_per_worker * self.steps_per_fragment

    @property
    def call_rows(self) -> float:
        """Rows of one draw of one rank."""
        return self.batch_size / self.num_ranks * self.batches_per_call


@dataclass(frozen=True)
class Arrow:
    """What goes along one arrow per second."""

    calls_per_s: float
    bytes_per_s: float = 0.0


def arrows(settings: Settings, inserted: float, sampled: float, costs: Costs) -> dict[str, Arrow]:
    """Return calls and bytes per second at each arrow, for so many rows ``inserted`` and ``sampled`` per second."""
    s = settings
    fragments, updates = inserted / s.fragment_rows, sampled / s.batch_size
    draws = s.num_ranks * updates / s.batches_per_call
    publications, snapshot = updates / s.publish_interval, 4.0 * costs.snapshot_floats
    fragment_s = s.num_workers / fragments if fragments else math.inf
    return {
        "insert": Arrow(fragments, inserted * s.row_bytes),
        "sample": Arrow(draws * s.num_shards, sampled * s.row_bytes),
        "priorities": Arrow(draws * s.num_shards / CALLS_PER_SEND, sampled * PRIORITY_BYTES),
        "reserve": Arrow(fragments + draws),
        "settle": Arrow(fragments + draws),
        "draw": Arrow(draws),
        "assignment": Arrow(min(fragments, ASSIGNMENTS_PER_S * s.num_workers)),
        "weights": Arrow(fragments),
        "publish": Arrow(publications, publications * snapshot * s.num_nodes),
        "pull": Arrow(min(publications * s.num_workers, fragments)),
        "mailbox": Arrow(updates / s.report_interval + DRIVER_POLLS_PER_S),
        "slice": Arrow(s.num_workers / max(SLICE_S, fragment_s)),
        "all_reduce": Arrow(updates if s.num_ranks > 1 else 0.0, updates * snapshot * ring(s.num_ranks)),
    }


def ring(num_ranks: int) -> float:
    """Return how often an all-reduce sends (and receives) its bytes over each rank: 2 (n - 1) / n."""
    return 2.0 * (num_ranks - 1) / num_ranks


def all_reduce_s(costs: Costs, num_ranks: int) -> float:
    """Return seconds of one all-reduce: bytes as a ring sends them, latency growing with the logarithm of the ranks."""
    if num_ranks < 2:
        return 0.0
    line = costs.all_reduce
    return line.call_s * math.log2(num_ranks) + line.row_s * costs.snapshot_floats * ring(num_ranks)


def busy(settings: Settings, inserted: float, sampled: float, costs: Costs) -> dict[str, float]:
    """Return the part of the time in which each kind of process is busy (above 1: it cannot keep up), and ``cores``: of
    all cores.
    """
    s, flow = settings, arrows(settings, inserted, sampled, costs)
    draws, updates, fragments = flow["draw"].calls_per_s, sampled / s.batch_size, flow["insert"].calls_per_s
    shard_call_rows = s.call_rows / s.num_shards
    vector_steps = inserted / s.num_worlds
    worker_cpu = (
        vector_steps * (costs.step.at(s.worlds_per_worker) + s.world_s * s.worlds_per_worker)
        + fragments / s.num_workers * costs.ship.at(s.fragment_rows)
        + flow["pull"].calls_per_s / s.num_workers * costs.pull_s
    )
    waits = max(costs.ship_latency_s - costs.ship.call_s, 0.0)
    shard_cpu = (
        fragments / s.num_shards * costs.insert.at(s.fragment_rows)
        + draws * costs.sample.at(shard_call_rows)
        + draws / CALLS_PER_SEND * costs.priorities.at(CALLS_PER_SEND * shard_call_rows)
    )
    rank_cpu = updates * costs.update.at(s.batch_size / s.num_ranks) + draws / s.num_ranks * costs.draw.at(s.call_rows)
    parts = {
        "rollout": worker_cpu + vector_steps * s.sleep_s + fragments / s.num_workers * waits,
        "shard": shard_cpu + draws * s.shard_row_s * shard_call_rows,
        "rank": rank_cpu + updates * all_reduce_s(costs, s.num_ranks),
        "ledger": flow["reserve"].calls_per_s * (costs.reserve_s + costs.settle_s),
        "curriculum": flow["assignment"].calls_per_s * costs.assignment_s,
        "weights": flow["weights"].calls_per_s * costs.weights_s + flow["publish"].calls_per_s * costs.publish_s,
        "mailbox": flow["mailbox"].calls_per_s * costs.mailbox_s,
        "driver": flow["slice"].calls_per_s * costs.slice_s,
    }
    cpu = (
        worker_cpu * s.num_workers
        + shard_cpu * s.num_shards
        + rank_cpu * s.num_ranks
        + sum(parts[name] for name in SERVICES)
    )
    return {**parts, "cores": cpu / s.cores}


@dataclass(frozen=True)
class Prediction:
    """How fast a run goes, and why no faster."""

    rows_per_s: float
    """Inserted per second, or sampled where nothing is inserted."""
    bottleneck: str
    busy: dict[str, float]
    """At that rate; see ``busy``."""


def predict(
    settings: Settings, costs: Costs, *, limits: Mapping[str, float] | None = None, sampling_only: bool = False
) -> Prediction:
    """Return the rate at which the first part reaches its limit (1, or that in ``limits``).

    With ``sampling_only`` nothing is inserted, no update is made, and the rate is that of rows sampled.
    """
    if sampling_only:
        costs = replace(costs, update=Line(0.0), publish_s=0.0, all_reduce=Line(0.0))

    def load(rate: float) -> dict[str, float]:
        inserted, sampled = (0.0, rate) if sampling_only else (rate, rate * settings.samples_per_insert)
        return busy(settings, inserted, sampled, costs)

    def over(rate: float) -> float:
        return max(value / (limits or {}).get(name, 1.0) for name, value in load(rate).items())

    # No part's load grows faster than the rate, so that this never steps over the rate sought, and closes in on it.
    rate = 1.0
    for _ in range(40):
        before, rate = rate, rate / over(rate)
        if rate - before <= 1e-9 * rate:
            break
    found = load(rate)
    return Prediction(rate, max(found, key=lambda name: found[name] / (limits or {}).get(name, 1.0)), found)


def waiting_load(settings: Settings, prediction: Prediction, costs: Costs) -> float:
    """Return the part of the ledger's time that goes to workers who wait at it because something else is the limit."""
    return settings.num_workers * max(0.0, 1.0 - prediction.busy["rollout"]) * WAITING_CALLS_PER_S * costs.reserve_s


LIMITS = {
    **dict.fromkeys(SERVICES, SERVICE_LIMIT),
    "shard": PART_LIMIT,
    "rank": PART_LIMIT,
    "cores": PART_LIMIT,
    "rollout": 1.0,
}


@dataclass(frozen=True)
class Recommendation:
    """A configuration for so many cores, and what the model says of it."""

    settings: Settings
    prediction: Prediction
    cores_used: float
    """Cores that the parts keep busy at that rate."""

    def overrides(self) -> list[str]:
        """Return it as ``robonav train`` takes it."""
        s = self.settings
        return [
            f"rollout.num_workers={s.num_workers}",
            f"rollout.num_worlds={s.num_worlds}",
            f"rollout.steps_per_fragment={s.steps_per_fragment}",
            f"replay.num_shards={s.num_shards}",
            f"learner.num_ranks={s.num_ranks}",
            f"learner.batch_size={s.batch_size}",
            f"learner.batches_per_call={s.batches_per_call}",
            f"learner.publish_interval={s.publish_interval}",
        ]


def recommend(
    cores: int, costs: Costs, *, world_s: float = 0.0, cores_per_node: int = 32, max_batch_size: int = MAX_BATCH_SIZE
) -> Recommendation:
    """Return the configuration with the fewest parts within 3 % of the fastest one that keeps every part under its
    limit.

    One core of each node is left for Ray and the services. ``max_batch_size`` bounds the ranks; what larger batches do
    to learning is not modelled. ValueError for fewer cores than the parts need.
    """
    good = [
        candidate
        for settings in _candidates(cores, world_s, cores_per_node, max_batch_size)
        for candidate in (_judged(settings, costs), _judged(_without_idle_workers(settings, costs), costs))
        if candidate is not None
    ]
    if not good:
        raise ValueError(f"no configuration fits {cores} cores: 4 is the least (Ray, a rank, a shard, a worker)")
    fastest = max(r.prediction.rows_per_s for r in good)
    good = [r for r in good if r.prediction.rows_per_s >= 0.97 * fastest]
    return min(good, key=lambda r: (r.settings.num_parts, r.settings.num_shards, -r.prediction.rows_per_s))


def _without_idle_workers(settings: Settings, costs: Costs) -> Settings:
    """Return the same with as many workers as are busy nine tenths of the time, where something else is the limit."""
    needed = predict(settings, costs, limits=LIMITS).busy["rollout"] / 0.9
    workers = max(1, math.ceil(-(-MIN_WORLDS // settings.worlds_per_worker)), math.ceil(settings.num_workers * needed))
    if workers >= settings.num_workers:
        return settings
    return replace(settings, num_workers=workers, num_worlds=round(workers * settings.worlds_per_worker))


def _judged(settings: Settings, costs: Costs) -> Recommendation | None:
    """Return the outcome of ``settings`` with a publish_interval that fits; None where a fragment, a link or the
    ledger is too slow.
    """
    prediction = predict(settings, costs, limits=LIMITS)
    # A new version four times a second is as fresh as fragments of a quarter of a second.
    updates = prediction.rows_per_s * settings.samples_per_insert / settings.batch_size
    settings = replace(settings, publish_interval=max(settings.publish_interval, 10 * math.ceil(updates / 4.0 / 10.0)))
    prediction = predict(settings, costs, limits=LIMITS)
    seconds_per_fragment = settings.num_workers * settings.fragment_rows / max(prediction.rows_per_s, 1e-9)
    link = (1.0 + settings.samples_per_insert) * prediction.rows_per_s * settings.row_bytes
    if seconds_per_fragment > MAX_FRAGMENT_S or (settings.num_nodes > 1 and link > LINK_BYTES_PER_S * PART_LIMIT):
        return None
    if prediction.busy["ledger"] + waiting_load(settings, prediction, costs) > LIMITS["ledger"] * 1.001:
        return None
    return Recommendation(settings, prediction, prediction.busy["cores"] * settings.cores)


def _candidates(cores: int, world_s: float, cores_per_node: int, max_batch_size: int) -> Iterator[Settings]:
    num_nodes = math.ceil(cores / cores_per_node)
    shapes = [
        (worlds, steps) for worlds in (16, 32, 64) for steps in (16, 32, 64, 128) if 256 <= worlds * steps <= 4096
    ]
    for ranks, rows, shards in itertools.product((1, 2, 4, 8, 16, 32), (64, 128, 256), (1, 2, 4, 8, 16)):
        workers = cores - num_nodes - ranks - shards
        if workers < 1 or not DEFAULT_BATCH_SIZE <= ranks * rows <= max_batch_size:
            continue
        for worlds, steps in shapes:
            if workers * worlds >= MIN_WORLDS:
                yield Settings(
                    num_workers=workers, num_worlds=workers * worlds, num_shards=shards, num_ranks=ranks,
                    steps_per_fragment=steps, batch_size=ranks * rows, cores=cores - num_nodes, num_nodes=num_nodes,
                    world_s=world_s,
                )  # fmt: skip
