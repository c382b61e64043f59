"""The page that replays failures: one file, no network, nothing of what it shows is run, and its script works."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robonav_ray.evaluation.failures.page import MAX_EPISODES, Shown, script_json, write_page
from robonav_ray.evaluation.failures.replays import Recording, replay
from robonav_ray.worlds.maps.grid_map import GridMap
from robonav_ray.worlds.vector_env import NavVectorEnv

HOSTILE = "</script><img src=x onerror=alert(1)>&<!--\u2028$'`\x1b[31m"


class Seat:
    def make_env(self, first_world: int, num_worlds: int) -> NavVectorEnv:
        levels = {"num_static": 2, "num_dynamic": 3, "max_steps": 30, "num_goals": 1}
        return NavVectorEnv(
            num_worlds, seed=1, first_world=first_world, levels=levels, autoreset_mode="Disabled", copy=False
        )


class Ahead:
    def act_for(self, env):
        return lambda obs: np.full(len(obs), 12)


@pytest.fixture(scope="module")
def recordings() -> list[Recording]:
    def q_values(obs):
        return np.linspace(-1, 2, 15, dtype=np.float32)[None].repeat(len(obs), axis=0)

    return replay(Ahead(), Seat(), [5, 0], cut_off_after=30, q_values=q_values)


def page_of(path: Path, recordings: list[Recording], name: str = "mine") -> str:
    episodes = [
        Shown(one, name, f"s:{name}:{one.world}", "time up", f"cluster {name}", ("typical",), (("step", name),))
        for one in recordings
    ]
    write_page(path, f"Failures of {name}", episodes)
    return path.read_text()


def test_what_comes_from_outside_is_data(tmp_path: Path, recordings):
    page = page_of(tmp_path / "page.html", recordings, HOSTILE)
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert "<!--T" not in page
    assert "/*DATA*/" not in page
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert data["episodes"][0]["entrant"].startswith("</script><img")
    code = re.sub(r'id="data">.*?</script>', "", page)
    assert not re.search(r"https?:|//[a-z]|@import|url\(|fetch|XMLHttp|import\(", code)
    assert "default-src 'none'" in page


def test_the_same_episodes_give_the_same_bytes(tmp_path: Path, recordings):
    assert page_of(tmp_path / "a.html", recordings) == page_of(tmp_path / "b.html", recordings)


def test_json_stays_inside_of_its_element():
    text = script_json({"a": HOSTILE})
    assert not set("<>&") & set(text)
    assert text.isascii()
    assert json.loads(text) == {"a": HOSTILE}


def test_an_episode_is_packed_as_the_script_unpacks_it(tmp_path: Path, recordings):
    page = page_of(tmp_path / "page.html", recordings)
    told = json.loads(page.split('id="data">')[1].split("</script>")[0])["episodes"][0]
    recording, moments, circles = recordings[0], recordings[0].num_steps + 1, len(told["circles"])
    data = zlib.decompress(base64.b64decode(told["data"]))
    words = np.frombuffer(data, "<i2", moments * (2 + 1 + 2 * circles) + recording.num_steps * 15)
    xy = words[: 2 * moments].reshape(-1, 2) / 32_000 * told["reach"]
    np.testing.assert_allclose(xy, [scene.robot_pose[0, :2] for scene in recording.scenes], atol=1e-3)
    circle = words[3 * moments : moments * (3 + 2 * circles)].reshape(moments, circles, 2) / 32_000 * told["reach"]
    np.testing.assert_allclose(circle, [scene.circles[:, :2] for scene in recording.scenes], atol=1e-3)
    assert told["q"][0] == 15
    rest = len(data) - words.nbytes
    assert rest == moments * (1 + 1 + len(told["beams"])) + recording.num_steps


def on_a_map(recording: Recording, plan: GridMap) -> Recording:
    """The same episode, told as if it had been in ``plan``, with a way to the goal that changes once."""
    ways = [np.array([[0.0, 0.0], [1.0, k]]) for k in (1.0, 2.0)]
    scenes = [
        replace(
            scene,
            map=plan,
            shown_m=plan.size_m,
            outline=np.array([[0.3, 0.2], [-0.3, 0.2], [-0.3, -0.2], [0.3, -0.2]]),
            lidar_xy=(0.2, 0.0),
            routes=(ways[k > 4],),
            path=np.full((1, 2, 2), 0.5 * k),
        )
        for k, scene in enumerate(recording.scenes)
    ]
    return replace(recording, scenes=scenes)


@pytest.fixture
def in_a_hall(recordings) -> list[Recording]:
    occupied = np.zeros((40, 60), bool)
    occupied[0] = occupied[:, 0] = True
    plan = GridMap("hall", occupied, np.zeros_like(occupied), 0.25)
    return [on_a_map(one, plan) for one in recordings]


def test_a_map_is_in_the_page_once_and_an_episode_has_its_route(tmp_path: Path, recordings, in_a_hall):
    page = page_of(tmp_path / "page.html", [*in_a_hall, recordings[0]])
    told = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert [episode["map"] for episode in told["episodes"]] == [0, 0, -1]
    (plan,), first = told["maps"], told["episodes"][0]
    assert plan["size"] == [15.0, 10.0]
    with Image.open(io.BytesIO(base64.b64decode(plan["png"]))) as image:
        assert image.size == (60, 40)
    assert first["routes"] == [[0, [[0.0, 0.0], [1.0, 1.0]]], [5, [[0.0, 0.0], [1.0, 2.0]]]]
    assert (len(first["body"]), first["mount"], first["path"]) == (4, [0.2, 0.0], 2)
    recording, moments, circles = in_a_hall[0], in_a_hall[0].num_steps + 1, len(first["circles"])
    data = zlib.decompress(base64.b64decode(first["data"]))
    start = 2 * (moments * (2 + 1 + 2 * circles) + recording.num_steps * 15)
    path = np.frombuffer(data, "<i2", moments * 4, start) / 32_000 * first["reach"]
    np.testing.assert_allclose(path, np.concatenate([scene.path.reshape(-1) for scene in recording.scenes]), atol=1e-3)


@pytest.mark.parametrize("num", [0, MAX_EPISODES + 1])
def test_there_is_a_most(tmp_path: Path, recordings, num):
    shown = [Shown(recordings[0], "a", "b", "c", "d")] * num
    with pytest.raises(ValueError, match="1 to 200"):
        write_page(tmp_path / "page.html", "t", shown)


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("with_map", [False, True])
def test_a_browser_shows_it(tmp_path: Path, recordings, in_a_hall, with_map):
    page_of(tmp_path / "page.html", in_a_hall if with_map else recordings, "mine")
    url = f"{(tmp_path / 'page.html').as_uri()}#s:mine:0@7"
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    done = subprocess.run(
        [*command, "--virtual-time-budget=5000", "--dump-dom", url],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "2 of 2 failed episodes" in done.stdout
    assert re.search(r'<output id="clock">0\.7 of \d\.\d s</output>', done.stdout)
    assert "cluster mine (2)" in done.stdout
