"""Policies of other libraries: nothing is unpickled without trust, and what is none of theirs is told."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

import robonav_ray
from robonav_ray.evaluation.entrants import EntrantError
from robonav_ray.fronts.foreign_policies import load_foreign

ROOT = Path(__file__).parents[3]


def a_zip(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "."), text)
    return path


def test_without_trust_nothing_is_opened(tmp_path: Path):
    path = a_zip(tmp_path / "model.zip", data="{}", policy__pth="")
    with pytest.raises(EntrantError, match=r"model\.zip: to open a policy of Stable-Baselines3 is to run code"):
        load_foreign(str(path), "model.zip", False)
    (tmp_path / "rllib").mkdir()
    (tmp_path / "rllib/rllib_checkpoint.json").write_text("{}")
    with pytest.raises(EntrantError, match="a policy of RLlib is to run code"):
        load_foreign(str(tmp_path / "rllib"), "rllib", False)
    assert load_foreign(str(tmp_path), "folder", False) is None


def test_what_is_none_of_theirs_is_told(tmp_path: Path):
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK")
    module = {"policy_class": {"__module__": "stable_baselines3.sac.policies"}}
    for path, told in (
        (broken, "is no model of Stable-Baselines3"),
        (a_zip(tmp_path / "other.zip", data="{}"), r"it has no policy\.pth"),
        (a_zip(tmp_path / "text.zip", data="{", policy__pth=""), "is no model of Stable-Baselines3"),
        (a_zip(tmp_path / "sac.zip", data=json.dumps(module), policy__pth=""), "DQN, PPO and A2C can take part"),
        (a_zip(tmp_path / "list.zip", data="[]", policy__pth=""), "DQN, PPO and A2C can take part"),
    ):
        with pytest.raises(EntrantError, match=told):
            load_foreign(str(path), path.name, True)


@pytest.mark.slow
def test_the_page_trains_and_judges_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Minutes: what stands in docs/other_libraries.md, as it stands there."""
    import subprocess
    import sys

    page = (ROOT / "docs/other_libraries.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for block in blocks[:2]:
        (tmp_path / "block.py").write_text(block)
        done = subprocess.run(
            [sys.executable, "block.py"],
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "RAY_AUTH_MODE": "disabled"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    (tmp_path / "mypolicy_of_the_page.py").write_text(blocks[2])
    names = ["sb3_dqn.zip", "sb3_ppo.zip", "rllib_dqn", "rllib_ppo", "mypolicy_of_the_page:act", "orca"]
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of those libraries
        table = robonav_ray.compare(*names, suite="quick", episodes=50, local=True, processes=1, trust=True, quiet=True)
    assert [one.kind for one in table.entrants] == ["sb3", "sb3", "rllib", "rllib", "callable", "planner"]
    assert table.num_rows == 6 * 2 * 50
    assert not table.missing
    for s in range(2):
        starts = [table.cell(e, s).shortest_path_length_m for e in range(6)]
        for other in starts[1:]:
            np.testing.assert_array_equal(other, starts[0])
