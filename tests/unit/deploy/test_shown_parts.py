"""What a policy sees beside scan, goals and its own motion: a forecast of contacts and the last commands."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robonav_policy import BundleError, Policy
from robonav_policy.forecast import Forecaster
from robonav_policy.spec import layout_of, parse_spec
from robonav_ray.config.worlds import LevelConfig, WorldConfig
from robonav_ray.deploy.export import export
from robonav_ray.deploy.readme import readme_of
from tests.made_up_runs import make_run
from tests.robot_side import spec_for

SEES_MORE = ("env.world.forecast=true", "env.world.recent_commands=3")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sees_more")
    make_run(folder / "run", ("algo.hidden_dims=[8]", "name=sees_more", *SEES_MORE), steps=(100,))
    return export(folder / "run", out=folder / "bundle", format="numpy").folder


def test_a_bundle_says_and_shows_them(exported: Path) -> None:
    policy = Policy.load(exported, kind="numpy")
    document, spec = policy.spec.document, policy.spec
    assert (spec.forecast, spec.recent_commands, spec.obs_dim) == (True, 3, 3 * 36 + 12 + 30 + 6)
    assert document["observation"]["forecast"] is True
    assert list(document["observation"]["layout"].items())[-2:] == [("forecast", [120, 150]), ("commands", [150, 156])]
    names = [row["name"] for row in document["observation"]["numbers"]]
    assert names[-8:] == [
        "forecast 14 contact", "forecast 14 nearness",
        "command 0 v", "command 0 omega", "command 1 v", "command 1 omega", "command 2 v", "command 2 omega",
    ]  # fmt: skip
    page = (exported / "README.md").read_text()
    assert "on each of 15 courses" in page
    assert "the last 3 twists" in page
    seen: list[np.ndarray] = []
    other = Policy(spec, lambda obs: seen.append(obs) or np.eye(spec.num_actions, dtype=np.float32)[[14]])
    for _ in range(4):
        other.act(np.full(36, 5.0), (0.0, 0.0, 0.0), (3.0, 0.0))
        assert other.last.problem is None
    assert seen[-1][0, 120:150] == pytest.approx(np.tile([0.0, 1 / 3], 15), abs=1e-6)
    assert [row[0, 150:].tolist() for row in seen] == [[1.0] * (2 * n) + [0.0] * (6 - 2 * n) for n in range(4)]


def test_a_bundle_without_them_says_nothing_of_them(made_bundle: Path) -> None:
    document = json.loads((made_bundle / "spec.json").read_text())
    assert not {"forecast", "recent_commands"} & set(document["observation"])
    spec = parse_spec(document)
    assert (spec.forecast, spec.recent_commands) == (False, 0)
    assert "courses" not in readme_of(spec, ["policy.npz"])
    assert parse_spec(document | {"observation": document["observation"] | {"forecast": False}}).forecast is False


def set_scan(**keys: object) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        document["scan"].update(keys)
        num_ranges = document["scan"]["stack"] * document["scan"]["num_beams"]
        layout = layout_of(num_ranges, 0, 3, True)
        document["observation"].update(layout=layout, size=layout["commands"][1])

    return change


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda d: d["observation"].update(forecast=1), "observation.forecast: is '1', and must be true or false"),
        (lambda d: d["observation"].update(forecast=None), "observation.forecast: is 'None', and must be true or"),
        (lambda d: d["observation"].update(forecast=False), "observation.size: is '156', and must be 126"),
        (lambda d: d["observation"].pop("forecast"), "observation.size: is '156', and must be 126"),
        (lambda d: d["observation"]["layout"].update(forecast=[120, 149]), "observation.layout: is"),
        (set_scan(stack=2), "scan.stack: is '2', and must be 3 or more with observation.forecast"),
        (set_scan(align=False), "scan.align: is 'False', and must be true with observation.forecast"),
        (
            lambda d: d["actions"].update(drive="holonomic"),
            "actions.drive: is 'holonomic', and must be unicycle or bicycle with observation.forecast",
        ),
    ],
)
def test_a_forecast_that_cannot_be_is_refused_with_its_key(
    exported: Path, harm: Callable[[dict[str, Any]], object], said: str
) -> None:
    document = json.loads((exported / "spec.json").read_text())
    parse_spec(document)
    harm(document)
    with pytest.raises(BundleError) as refused:
        parse_spec(document)
    assert said in str(refused.value)
    assert str(refused.value).endswith("export the run again")


def forecaster(**lidar: object) -> Forecaster:
    return Forecaster(spec_for(WorldConfig.model_validate({"forecast": True, "lidar": lidar}), LevelConfig()))


def row_of(num_beams: int, discs: list[tuple[float, float, float]]) -> np.ndarray:
    """Return the scan (B,) float32 of ``discs`` (x, y, radius) in open space, up to 5 m."""
    angle = -np.pi + 2 * np.pi / num_beams * np.arange(num_beams)
    found = np.full(num_beams, 5.0)
    for x, y, radius in discs:
        along, beside = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        hit = (np.abs(beside) < radius) & (along > 0.0)
        near = along - np.sqrt(np.maximum(radius * radius - beside * beside, 0.0))
        found = np.where(hit, np.minimum(found, near), found)
    return (found / 5.0).astype(np.float32)


def test_what_the_newest_scan_hides_goes_on() -> None:
    """A disc passes behind another one that stands, and is where it would be; where the scan shows that nothing stands
    there it is gone.
    """
    look = forecaster(num_beams=360)
    stands, rows = (1.2, 0.0, 0.4), [row_of(360, [(1.2, 0.0, 0.4), (2.6, y, 0.2)]) for y in (0.4, 1.15, 1.9)]
    newest, older, oldest = (look.find_discs(row)[0] for row in rows)
    assert [len(discs) for discs in (newest, older, oldest)] == [1, 2, 2]
    discs = look.match_discs(newest, older, oldest, rows[0])
    assert discs[0] == pytest.approx([*stands, 0.0, 0.0], abs=0.05)
    assert discs[1:] == pytest.approx(np.array([[2.6, 0.4, 0.2, 0.0, -1.875]]), abs=0.1)
    assert len(look.match_discs(newest, older, oldest, row_of(360, [(1.2, 1.0, 0.4), (4.5, 0.7, 0.4)]))) == 1


def test_a_forecast_takes_a_few_milliseconds() -> None:
    look, rng = forecaster(num_beams=720), np.random.default_rng(0)
    scans = np.repeat(rng.uniform(0.1, 1.0, (3, 90)), 8, axis=1).astype(np.float32)
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        look(scans)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.05
    print(f"{min(times) * 1e3:.2f} ms")
