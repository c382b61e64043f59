"""The model of the bottleneck: flows at each arrow, what they keep busy, and what follows; tables and plots of what was
measured."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from proofs.scale import report
from proofs.scale.model import (
    LIMITS,
    Costs,
    Line,
    Settings,
    all_reduce_s,
    arrows,
    busy,
    predict,
    recommend,
    waiting_load,
)
from robonav_ray.config.load import load_run_config

COSTS = Costs(
    reserve_s=300e-6, settle_s=200e-6, assignment_s=400e-6, weights_s=250e-6, publish_s=2e-3, mailbox_s=400e-6,
    insert=Line(500e-6, 0.3e-6), sample=Line(500e-6, 1e-6), priorities=Line(300e-6, 0.3e-6), slice_s=300e-6,
    pull_s=1e-3, ship=Line(1.5e-3, 0.5e-6), ship_latency_s=3e-3, step=Line(100e-6, 3e-6), draw=Line(2e-3, 2e-6),
    update=Line(1e-3, 8e-6), all_reduce=Line(200e-6, 2e-9), snapshot_floats=100_000,
)  # fmt: skip
FREE = Costs(**{name: Line(0.0) if isinstance(value, Line) else 0.0 for name, value in COSTS.__dict__.items()})
SETTINGS = Settings(num_workers=4, num_worlds=64, num_shards=2, num_ranks=2, cores=16)


def test_flows_are_what_the_config_says():
    flow = arrows(SETTINGS, inserted=10_240.0, sampled=20_480.0, costs=COSTS)
    assert flow["insert"].calls_per_s == pytest.approx(10_240 / (16 * 32))
    assert flow["insert"].bytes_per_s == 10_240 * SETTINGS.row_bytes
    updates = 20_480 / 256
    assert flow["draw"].calls_per_s == pytest.approx(2 * updates / 16)
    assert flow["sample"].calls_per_s == pytest.approx(2 * 2 * updates / 16)
    assert flow["priorities"].calls_per_s == pytest.approx(2 * 2 * updates / 16 / 4)
    assert flow["reserve"].calls_per_s == flow["settle"].calls_per_s == pytest.approx(20 + 10)
    assert flow["publish"].calls_per_s == pytest.approx(updates / 20)
    assert flow["pull"].calls_per_s == pytest.approx(16.0)
    assert flow["slice"].calls_per_s == pytest.approx(4 / 0.5)
    assert flow["all_reduce"].bytes_per_s == pytest.approx(updates * 400_000)


def test_a_worker_asks_for_its_assignment_twenty_times_a_second_at_most():
    tiny = replace(SETTINGS, steps_per_fragment=1)
    assert arrows(tiny, 1e6, 1e6, COSTS)["assignment"].calls_per_s == 4 * 20.0


def test_no_process_is_busier_than_its_calls_take():
    load = busy(SETTINGS, 10_240.0, 20_480.0, COSTS)
    updates, draws = 80.0, 10.0
    assert load["ledger"] == pytest.approx((20 + draws) * 500e-6)
    assert load["curriculum"] == pytest.approx(20 * 400e-6)
    rank = updates * (1e-3 + 128 * 8e-6) + 5 * (2e-3 + 2048 * 2e-6) + updates * all_reduce_s(COSTS, 2)
    assert load["rank"] == pytest.approx(rank)
    shard = 10 * (500e-6 + 512 * 0.3e-6) + draws * (500e-6 + 1024 * 1e-6) + draws / 4 * (300e-6 + 4096 * 0.3e-6)
    assert load["shard"] == pytest.approx(shard)


@pytest.mark.parametrize(
    "settings", [SETTINGS, replace(SETTINGS, num_ranks=1, cores=2.0), replace(SETTINGS, sleep_s=0.1)]
)
def test_the_rate_is_where_the_first_part_is_busy_all_the_time(settings):
    found = predict(settings, COSTS)
    assert found.busy[found.bottleneck] == pytest.approx(1.0, rel=1e-6)
    assert max(found.busy.values()) == found.busy[found.bottleneck]
    assert max(busy(settings, 1.01 * found.rows_per_s, 1.01 * found.rows_per_s * 2.0, COSTS).values()) > 1.0


def test_sleeping_workers_are_linear_until_something_else_is_busy():
    def rate(workers: int, costs: Costs) -> float:
        return predict(replace(SETTINGS, num_workers=workers, num_worlds=8 * workers, sleep_s=0.1), costs).rows_per_s

    assert [rate(n, FREE) for n in (1, 8, 64)] == pytest.approx([80.0, 640.0, 5120.0])
    slow_ledger = replace(FREE, reserve_s=0.05)
    assert rate(1, slow_ledger) == pytest.approx(80.0)
    assert rate(1024, slow_ledger) < 0.5 * 1024 * 80.0
    assert (
        predict(replace(SETTINGS, num_workers=1024, num_worlds=8192, sleep_s=0.1), slow_ledger).bottleneck == "ledger"
    )


def test_sleeping_shards_share_the_rows_of_a_draw():
    def rate(shards: int) -> float:
        return predict(replace(SETTINGS, num_shards=shards, shard_row_s=1e-4), FREE, sampling_only=True).rows_per_s

    assert [rate(n) for n in (1, 2, 8)] == pytest.approx([1e4, 2e4, 8e4])


def test_all_reduce_grows_with_ranks_and_is_nothing_for_one():
    assert all_reduce_s(COSTS, 1) == 0.0
    assert all_reduce_s(COSTS, 2) == pytest.approx(COSTS.all_reduce.at(100_000))
    assert all_reduce_s(COSTS, 16) > all_reduce_s(COSTS, 2)


@pytest.mark.parametrize("world_s", [0.0, 5e-3])
def test_what_is_recommended_fits_and_grows_with_the_cores(world_s):
    found = [recommend(cores, COSTS, world_s=world_s) for cores in (10, 100, 1000)]
    for cores, r in zip((10, 100, 1000), found, strict=True):
        s = r.settings
        assert s.num_workers + s.num_shards + s.num_ranks + s.num_nodes <= cores
        assert r.cores_used <= cores
        load = busy(s, r.prediction.rows_per_s, r.prediction.rows_per_s * s.samples_per_insert, COSTS)
        assert all(load[name] <= LIMITS[name] * 1.001 for name in load)
        assert s.batch_size % s.num_ranks == 0
    rates = [r.prediction.rows_per_s for r in found]
    assert rates == sorted(rates)
    if world_s:
        assert found[2].settings.num_workers > 500, "heavy worlds take most of the cores"


def test_workers_that_wait_ask_the_ledger_twice_a_second():
    many = replace(SETTINGS, num_workers=1000, num_worlds=16_000, cores=2000.0)
    found = predict(many, COSTS)
    assert found.bottleneck == "rank"
    assert waiting_load(many, found, COSTS) == pytest.approx(1000 * (1.0 - found.busy["rollout"]) * 2 * 300e-6)
    assert waiting_load(many, replace(found, busy={**found.busy, "rollout": 1.0}), COSTS) == 0.0


def test_costs_survive_json():
    assert Costs.from_dict(COSTS.as_dict()) == COSTS
    with pytest.raises(TypeError):
        Costs.from_dict({**COSTS.as_dict(), "misspelt": 1.0})


def window(rate: float) -> dict:
    return {
        "env_steps_per_s": rate, "inserts_per_s": rate, "samples_per_s": rate, "updates_per_s": rate / 256,
        "learner_idle_frac": 0.5, "own_cpu_frac": 0.4, "cpu_frac": 0.5, "cpu_cores": {"rollout": 0.5, "ray": 0.1},
        "row_bytes": 976,
    }  # fmt: skip


RESULTS = {
    "workers": {
        "points": [{"workers": n, **window(80.0 * n**0.98)} for n in (1, 8, 64)],
        "step_s": 0.1, "worlds_per_worker": 8, "steps_per_fragment": 32, "samples_per_insert": 1.0, "row_bytes": 976,
    },
    "shards": {
        "latency": [{"shards": n, **window(1e4 * n)} for n in (1, 2)],
        "real": [{"shards": n, **window(2e5)} for n in (1, 2)], "row_s": 1e-4, "ranks": 4, "rows_per_call": 2048,
    },
    "real": {
        "points": [{"workers": 2, "shards": 2, "ranks": 1, "nodes": 1, "samples_per_insert": 2.0, **window(3e4)}],
        "worlds_per_worker": 32,
    },
    "capacities": {
        "measured": {"insert:256": {"served_s": 1e-3, "asked_s": 5e-4, "calls_per_s": 900.0}}, "costs": COSTS.as_dict(),
        "row_bytes": 976,
    },
}  # fmt: skip


def test_parts_of_linear():
    assert report.linear_fracs([{"n": 1, "x": 10.0}, {"n": 4, "x": 36.0}], "n", "x") == [1.0, 0.9]


def test_tables_have_a_cell_for_every_column():
    found = report.recommendations(COSTS)
    tables = (
        report.workers_table(RESULTS["workers"]), report.shards_table(RESULTS["shards"]),
        report.real_table(RESULTS["real"]), report.capacities_table(RESULTS["capacities"]),
        report.model_table(RESULTS, 2.0), report.recommendations_table(found), report.arrows_table(found, COSTS),
    )  # fmt: skip
    for header, rows in tables:
        assert rows
        assert {len(row) for row in rows} == {len(header)}
        assert report.markdown((header, rows)).count("\n") == len(rows) + 1


def test_tables_take_their_marked_places(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- one -->\nold\n<!-- /one -->\nb\n<!-- two -->\n<!-- /two -->\n")
    report.write_into(page, {"one": r"| \1 new |", "two": "x"})
    assert page.read_text() == "a\n<!-- one -->\n| \\1 new |\n<!-- /one -->\nb\n<!-- two -->\nx\n<!-- /two -->\n"
    with pytest.raises(KeyError, match="three"):
        report.write_into(page, {"three": "x"})


def test_the_page_has_a_place_for_every_table(tmp_path):
    page = tmp_path / "scaling.md"
    page.write_text((Path(__file__).parents[3] / "docs" / "scaling.md").read_text())
    report.write_into(page, dict.fromkeys((*RESULTS, "model", "recommendations", "arrows"), "| a table |"))
    assert page.read_text().count("| a table |") == 7


def test_pictures_are_drawn(tmp_path):
    from proofs.scale import pictures

    pictures.draw_workers(RESULTS["workers"], 2.0, tmp_path / "workers.png")
    pictures.draw_shards(RESULTS["shards"], 2.0, tmp_path / "shards.png")
    pictures.draw_model(RESULTS, 2.0, tmp_path / "model.png")
    assert {path.name for path in tmp_path.iterdir()} == {"workers.png", "shards.png", "model.png"}


def test_sleeping_worlds_are_a_vector_environment_of_ours():
    from proofs.scale.worlds import CONFIG_ID, EPISODE_STEPS
    from robonav_ray.config.worlds import EnvConfig
    from robonav_ray.worlds.make import describe_env, make_vector_env

    config = EnvConfig(id=CONFIG_ID, kwargs={"step_s": 0.0})
    known = describe_env(config, ())
    assert (known.obs_shape, known.num_actions) == ((120,), 15)
    env = make_vector_env(config, (), num_envs=5, first_world=3, seed=0, gamma=0.99)
    obs, _ = env.reset()
    assert obs.shape == (5, 120)
    ended = np.zeros(5, int)
    for _ in range(EPISODE_STEPS):
        obs, _reward, _terminated, truncated, infos = env.step(np.zeros(5, np.int64))
        ended += truncated
        if truncated.any():
            assert infos["final_obs"].shape == (5, 120)
    assert ended.tolist() == [1] * 5


def test_cores_are_told_by_part():
    from proofs.scale.system import CpuMeter
    from robonav_ray.part_names import Part

    meter = CpuMeter({"SleepingShard": Part.SHARD})
    titles = ("ray::_WorkerActor.run", "ray::SleepingShard", "ray::TrainController.run", "raylet", "ray::IDLE")
    other = psutil.Process(os.getppid())
    assert [meter._kind(other, title) for title in titles] == ["rollout", "shard", "ray", "ray", "ray"]
    assert meter._kind(psutil.Process(), "python") == "driver"


def test_the_command_recommends_from_what_was_measured(tmp_path, capsys):
    from proofs.scale import program as bench_scale

    arguments = ["recommend", "--cores", "16", "--output", str(tmp_path)]
    with pytest.raises(SystemExit, match=r"capacities\.json"):
        bench_scale.main(arguments)
    (tmp_path / "capacities.json").write_text(json.dumps({"costs": COSTS.as_dict()}))
    bench_scale.main(arguments)
    command, *_, figures = capsys.readouterr().out.splitlines()
    overrides = recommend(16, COSTS).overrides()
    assert command == f"robonav train {' '.join(overrides)}"
    assert json.loads(figures)["num_workers"] == recommend(16, COSTS).settings.num_workers
    assert load_run_config(None, overrides).learner.num_ranks == recommend(16, COSTS).settings.num_ranks
