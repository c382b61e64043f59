"""A network of the user's own: torch and NumPy agree or the run is refused; the rest of the run does not notice."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from robonav_ray.algo.network_graph import network_graph
from robonav_ray.algo.own_network import NoGraphError, make_policy
from robonav_ray.algo.own_torch_network import check_own_network
from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.errors import UserError
from robonav_ray.runs.run_directory import create_run
from robonav_ray.runs.task import describe_task
from robonav_ray.runtime.local import LocalWiring
from robonav_ray.runtime.wiring import RunSession

MINE = '''
import numpy as np

class Net:
    """tanh in the middle; no torch where it only acts."""
    def __init__(self, obs_dim, num_actions):
        self.dims = obs_dim, num_actions
    def make_torch(self):
        from torch import nn
        return nn.Sequential(nn.Linear(self.dims[0], 16), nn.Tanh(), nn.Linear(16, self.dims[1]))
    def q_values(self, parameters, obs):
        hidden = np.tanh(obs @ parameters["0.weight"].T + parameters["0.bias"])
        return hidden @ parameters["2.weight"].T + parameters["2.bias"]

class Disagrees(Net):
    def q_values(self, parameters, obs):
        return super().q_values(parameters, obs) + parameters["0.bias"].sum()

class WrongShape(Net):
    def q_values(self, parameters, obs):
        return super().q_values(parameters, obs)[:, :1]

class WrongName(Net):
    def q_values(self, parameters, obs):
        return obs @ parameters["weight"].T

class WithBuffers(Net):
    def make_torch(self):
        from torch import nn
        return nn.Sequential(nn.BatchNorm1d(self.dims[0]), super().make_torch())

class NoModule(Net):
    def make_torch(self):
        return 3

class Branches(Net):
    """What the module does hangs on its numbers."""
    def make_torch(self):
        from torch import nn
        class Clamped(nn.Sequential):
            def forward(self, obs):
                return super().forward(obs if float(obs.abs().max()) < 1e6 else obs.clamp(-1e6, 1e6))
        return Clamped(*super().make_torch())

class Nothing:
    def __init__(self, obs_dim, num_actions): ...
'''
CONFIG = [
    "env.id=CartPole-v1",
    "rollout.num_worlds=4",
    "replay.capacity=3000",
    "replay.min_size=300",
    "learner.batch_size=32",
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "my_networks.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    yield
    sys.path[:] = before
    sys.modules.pop("my_networks", None)


def test_a_run_learns_and_acts_with_it(tmp_path: Path) -> None:
    config = load_run_config(None, [*CONFIG, "algo.network=my_networks:Net"])
    task = describe_task(config)
    check_own_network(task.obs_dim, task.num_actions, config.algo)
    wirings = [
        LocalWiring(RunSession(config, task, create_run(config, tmp_path / name), None, time.monotonic()))
        for name in "ab"
    ]
    for wiring in wirings:
        while wiring.learner_state.learner_step < 20:
            wiring.round()
    snapshot = wirings[0].learner_state.snapshot()
    assert set(snapshot.names) == {"body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias"}
    for mine, other in zip(snapshot.arrays, wirings[1].learner_state.snapshot().arrays, strict=True):
        np.testing.assert_array_equal(mine, other)  # a function of the seed alone
    policy = make_policy(task.obs_dim, task.num_actions, config.algo)
    obs = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    assert not policy.q_values(obs).any()
    policy.load(snapshot)
    assert policy.version == snapshot.version
    hidden = np.tanh(obs @ snapshot.arrays[0].T + snapshot.arrays[1])
    np.testing.assert_allclose(policy.q_values(obs), hidden @ snapshot.arrays[2].T + snapshot.arrays[3], rtol=1e-4)
    assert policy.greedy(obs).shape == (7,)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Disagrees", "torch and NumPy .* do not agree"),
        ("WrongShape", r"q_values returned \(1, 1\), and \(1, 2\) is wanted"),
        ("WrongName", "cannot act with the weights .*KeyError: 'weight'"),
        ("WithBuffers", "no buffers; look at 0.running_mean"),
        ("NoModule", r"make_torch\(\) .* returned int"),
        ("Nothing", r"made a Nothing, which is no network"),
        ("Nett", "did you mean 'Net'"),
    ],
)
def test_what_breaks_the_contract_is_refused(name: str, told: str) -> None:
    config = load_run_config(None, [*CONFIG, f"algo.network=my_networks:{name}"])
    with pytest.raises(UserError, match=f"^algo.network: .*{told}"):
        check_own_network(4, 2, config.algo)


def test_a_graph_needs_a_module_that_can_be_traced() -> None:
    config = load_run_config(None, [*CONFIG, "algo.network=my_networks:Net"])
    assert network_graph(4, 2, config.algo)["nodes"][-1]["shape"] == [1, 2]
    config = load_run_config(None, [*CONFIG, "algo.network=my_networks:Branches"])
    check_own_network(4, 2, config.algo)
    with pytest.raises(NoGraphError, match=r"^algo.network: 'my_networks:Branches' cannot be traced: "):
        network_graph(4, 2, config.algo)


@pytest.mark.parametrize(
    "override", ["algo.hidden_dims=[8]", "algo.distribution=qr", "algo.noisy=true", "algo.layer_norm=true"]
)
def test_settings_that_it_would_ignore_are_refused(override: str) -> None:
    with pytest.raises(ConfigError, match=override.partition("=")[0].removeprefix("algo.")):
        load_run_config(None, [*CONFIG, "algo.network=my_networks:Net", override])
