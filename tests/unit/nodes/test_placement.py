"""Where parts go, and what becomes of a plan when nodes join and leave."""

import pytest

from robonav_ray.config.load import load_run_config
from robonav_ray.nodes.connection import ClusterError, ClusterFacts
from robonav_ray.nodes.part_placement import NodeFacts
from robonav_ray.nodes.resources import make_plan, replan
from robonav_ray.records import PartEvent
from robonav_ray.runtime.over_ray.elastic import LOOK_INTERVAL_S, SETTLE_S, Elasticity

CONFIG = load_run_config(None, ["rollout.num_worlds=512"])


def node(name: str, cpus: float, **more: object) -> NodeFacts:
    return NodeFacts(name, f"10.0.0.{name[-1]}", cpus, total_cpus=cpus, **more)  # type: ignore[arg-type]


def cluster(*nodes: NodeFacts) -> ClusterFacts:
    cpus = sum(n.cpus for n in nodes)
    return ClusterFacts("head:1", False, len(nodes), cpus, sum(n.gpus for n in nodes), cpus, 2**34, nodes)


def test_ranks_go_to_learner_nodes_shards_beside_them_and_workers_over_the_rest() -> None:
    nodes = (node("n1", 4, is_driver=True), node("n2", 8), node("n3", 4, role="learner"))
    plan = make_plan(CONFIG, cluster(*nodes))
    assert plan.placement is not None
    assert set(plan.placement.ranks) == {"n3"}
    assert set(plan.placement.shards) == {"n3"}
    assert len(plan.placement.workers) == plan.num_workers
    assert {"n1", "n2"} <= set(plan.placement.workers)
    used = {n.node_id: 0.0 for n in nodes}
    for ids, cpus in (
        (plan.placement.ranks, plan.cpus_per_rank),
        (plan.placement.shards, plan.cpus_per_shard),
        (plan.placement.workers, plan.cpus_per_worker),
    ):
        for node_id in ids:
            used[node_id] += cpus
    assert all(used[n.node_id] <= n.cpus + 1e-6 for n in nodes)


def test_a_gpu_rank_goes_where_the_gpu_is() -> None:
    plan = make_plan(CONFIG, cluster(node("n1", 16, is_driver=True), node("n2", 2, gpus=1)))
    assert plan.placement is not None
    assert plan.gpus_per_rank == 1.0
    assert plan.placement.ranks == ("n2",)


def test_a_rank_that_fits_the_sum_of_the_nodes_but_none_of_them_is_refused() -> None:
    nodes = tuple(node(f"n{i}", 0.9) for i in range(6))
    with pytest.raises(ClusterError, match=r"no node has room for a rank of 1 CPUs.*runtime\.cpus_per_rank"):
        make_plan(CONFIG, cluster(*nodes))


def test_auto_counts_whole_workers_per_node_not_the_crumbs_of_all() -> None:
    config = load_run_config(None, ["runtime.cpus_per_rollout_worker=1", "replay.num_shards=1"])
    plan = make_plan(config, cluster(node("n1", 2.2, is_driver=True), node("n2", 0.9), node("n3", 0.9)))
    assert plan.num_workers == 1  # 2.8 CPUs are left over three nodes, one worker fits


def test_a_node_that_joins_brings_workers_and_one_that_leaves_takes_them_away() -> None:
    nodes = (node("n1", 4, is_driver=True), node("n2", 4))
    plan = make_plan(CONFIG, cluster(*nodes))
    time_s, alive, events = [0.0], list(nodes), list[PartEvent]()
    watch = Elasticity(CONFIG, plan, events.append, nodes=nodes, look=lambda: tuple(alive), now=lambda: time_s[0])

    def after(seconds: float) -> object:
        time_s[0] += seconds
        return watch.look()

    assert after(LOOK_INTERVAL_S) is None
    # 3 of its CPUs were taken at once by our own waiting actors
    alive.append(NodeFacts("n3", "10.0.0.3", 1.0, total_cpus=4.0))
    assert after(LOOK_INTERVAL_S) is None, "nodes come in groups: wait until they have settled"
    assert after(LOOK_INTERVAL_S / 2) is None
    more = after(LOOK_INTERVAL_S + SETTLE_S)
    assert more is not None
    assert more.num_workers == plan.num_workers + 4  # type: ignore[attr-defined]
    assert sum(n for _, n in more.worlds) == CONFIG.rollout.num_worlds  # type: ignore[attr-defined]
    alive[:] = [nodes[0]]
    after(LOOK_INTERVAL_S)
    less = after(LOOK_INTERVAL_S + SETTLE_S)
    assert less is not None
    assert less.num_workers < plan.num_workers  # type: ignore[attr-defined]
    assert [(e.event, e.part) for e in events] == [
        ("joined", "node/10.0.0.3"), ("left", "node/10.0.0.2"), ("left", "node/10.0.0.3")
    ]  # fmt: skip
    alive[:] = [node("n4", 0.5)]
    after(LOOK_INTERVAL_S)
    assert after(LOOK_INTERVAL_S + SETTLE_S) is None
    assert "waiting for nodes" in watch.message


def test_replanning_never_takes_more_workers_than_were_asked_for() -> None:
    config = load_run_config(None, ["rollout.num_workers=2"])
    nodes = (node("n1", 4, is_driver=True),)
    plan = make_plan(config, cluster(*nodes))
    again = replan(config, plan, (*nodes, node("n2", 16)))
    assert again is not None
    assert again.num_workers == 2
    fewer = replan(config, plan, (node("n1", 1.9),))
    assert fewer is not None
    assert fewer.num_workers == 1
