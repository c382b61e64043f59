"""Any environment that draws itself is filmed, within bounds; one that does not says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from robonav_ray.algo.policy import Policy
from robonav_ray.config import RunConfig
from robonav_ray.errors import EnvironmentFailedError
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime import filming
from robonav_ray.runtime.filming import MAX_SIDE_PX, NoFilmError, draw_gif
from tests import foreign_envs


class _Zeros:
    def greedy(self, obs: np.ndarray) -> np.ndarray:
        return np.zeros(len(obs), np.int64)


def film(path: Path, env_id: str = "Foreign-v0", num_episodes: int = 2, limit: int | None = None, **kwargs: Any) -> int:
    evaluation = {"max_episode_steps": limit}
    config = RunConfig.model_validate({"env": {"id": env_id, "kwargs": kwargs}, "evaluation": evaluation})
    policy = cast("Policy", _Zeros())
    return draw_gif(path, policy, config, describe_task(config), stage=0, num_episodes=num_episodes)


def test_episodes_of_another_environment_are_filmed(tmp_path: Path) -> None:
    path = tmp_path / "made" / "play.gif"
    num = film(path, length=6)
    held = round(filming.HOLD_S * 20)
    assert num == 2 * (6 + held)
    with Image.open(path) as image:
        assert (image.size, image.info["duration"]) == (foreign_envs.SIZE[1::-1], 50)
    assert [p.name for p in path.parent.iterdir()] == ["play.gif"]


@pytest.mark.parametrize("kwargs", [{"length": 10**9, "limit": 7}, {"env_id": "Limited-v0", "max_episode_steps": 7}])
def test_episodes_that_never_end_are_filmed_as_far_as_they_are_judged(tmp_path: Path, kwargs: dict[str, Any]) -> None:
    assert film(tmp_path / "a.gif", num_episodes=1, **kwargs) == 7 + round(filming.HOLD_S * 20)


def test_a_film_has_an_end_and_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filming, "MAX_FRAMES", 20)
    assert film(tmp_path / "a.gif", picture="wide", length=10**9) == 20
    with Image.open(tmp_path / "a.gif") as image:
        assert image.size == (MAX_SIDE_PX, MAX_SIDE_PX // 2)
    assert film(tmp_path / "b.gif", picture="growing") == 20
    with Image.open(tmp_path / "b.gif") as image:
        assert image.size == foreign_envs.SIZE[1::-1]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"env_id": "Blind-v0"}, "draws no pictures: its metadata"),
        ({"picture": "flat"}, r"returned uint8 \(48, 64\), and not a picture"),
        ({"picture": "floats"}, "returned float64"),
        ({"picture": "nothing"}, "returned NoneType"),
        ({"picture": "broken"}, r"your environment failed: KeyError\('display'\) at tests/foreign_envs.py"),
    ],
)
def test_what_cannot_be_filmed_says_why_and_leaves_nothing(
    tmp_path: Path, kwargs: dict[str, Any], message: str
) -> None:
    (tmp_path / "a.gif").write_bytes(b"before")
    with pytest.raises((NoFilmError, EnvironmentFailedError), match=message):
        film(tmp_path / "a.gif", **kwargs)
    assert [p.name for p in tmp_path.iterdir()] == ["a.gif"]
    assert (tmp_path / "a.gif").read_bytes() == b"before"


@pytest.mark.parametrize(
    ("told", "fps"), [(20, 20.0), (500, 50.0), (None, 30.0), (0, 30.0), (float("nan"), 30.0), ("x", 30.0)]
)
def test_frames_per_second_are_those_of_a_gif(told: Any, fps: float) -> None:
    assert filming._fps(told) == fps
