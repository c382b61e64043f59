"""Policies of other libraries as entrants, each opened by its own library.

::

    model.zip          Stable-Baselines3: DQN, PPO or A2C       an algorithm's ``save``
    a folder           RLlib (new API stack)                    ``algorithm.save_to_path``

Both unpickle, which runs code that is in the file: they are opened only where the user says ``--trust``. What such a
policy was shown in its training is not written down with it, so it gets the sensor and the body of the first run among
the entrants, or the defaults; one that takes another number of observations fits no scenario.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from robonav_ray.evaluation.entrants import LIDAR_ONLY, EntrantError, FunctionEntrant
from robonav_ray.evaluation.exam_table import EntrantFacts
from robonav_ray.files.plain_files import list_plain, open_reading, read_bytes

MAX_BYTES = 4_000_000_000
_MEMBERS = {"data", "policy.pth"}
_RLLIB = "rllib_checkpoint.json"
_MODULE = Path("learner_group", "learner", "rl_module", "default_policy")


def load_foreign(word: str, name: str, trust: bool) -> FunctionEntrant | None:
    """Return the policy at the path ``word``; None when it is none of another library.

    Raises:
        EntrantError: When it may not be unpickled, its library is not installed, or does not open it.
    """
    path = Path(word)
    is_zip = path.is_file() and path.suffix == ".zip"
    if not is_zip and not (path / _RLLIB).is_file():
        return None
    library = "Stable-Baselines3" if is_zip else "RLlib"
    if not trust:
        raise EntrantError(
            f"{word}: to open a policy of {library} is to run code that is in it; say --trust when you trust its origin"
        )
    try:
        return _of_sb3(path, name) if is_zip else _of_rllib(path, name)
    except ImportError as error:
        raise EntrantError(
            f"{word}: {library} is not installed ({error}); `pip install 'robonav_ray[bench]'` brings it"
        ) from None


def _of_sb3(path: Path, name: str) -> FunctionEntrant:
    """Open a zip of Stable-Baselines3."""
    try:
        with open_reading(path, follow=True) as file, zipfile.ZipFile(file) as archive:
            lacking = _MEMBERS - set(archive.namelist())
            if lacking:
                raise EntrantError(f"{path}: is no model of Stable-Baselines3 (it has no {sorted(lacking)[0]})")
            if archive.getinfo("data").file_size > MAX_BYTES:
                raise EntrantError(f"{path}: is larger than any model")
            kind = _algorithm(json.loads(archive.read("data")))
    except (zipfile.BadZipFile, json.JSONDecodeError) as error:
        raise EntrantError(f"{path}: is no model of Stable-Baselines3 ({error})") from None
    if kind is None:
        raise EntrantError(f"{path}: is of an algorithm without discrete actions; DQN, PPO and A2C can take part")
    algorithm: Any = getattr(import_module("stable_baselines3"), kind)
    try:
        model = algorithm.load(path, device="cpu", custom_objects={"buffer_size": 1})
        spaces = model.observation_space, model.action_space
    except Exception as error:  # it unpickles objects of other versions, whose code raises anything
        raise EntrantError(f"{path}: Stable-Baselines3 does not open it: {type(error).__name__}: {error}") from error

    def act(obs: np.ndarray) -> np.ndarray:
        return model.predict(obs, deterministic=True)[0]

    digest = hashlib.sha256(read_bytes(path, MAX_BYTES, follow=True)).hexdigest()
    return _entrant(path, name, "sb3", kind, digest, act, spaces)


def _algorithm(data: Any) -> str | None:
    """Return the class of Stable-Baselines3 that has written ``data``; the zip does not say it."""
    policy = data.get("policy_class") if isinstance(data, dict) else None
    module = str(policy.get("__module__")) if isinstance(policy, dict) else ""
    if module == "stable_baselines3.dqn.policies":
        return "DQN"
    if module == "stable_baselines3.common.policies":
        return "PPO" if "clip_range" in data else "A2C"
    return None


def _of_rllib(path: Path, name: str) -> FunctionEntrant:
    """Open the module of a checkpoint of RLlib's new API stack."""
    torch: Any = import_module("torch")
    rl_module: Any = import_module("ray.rllib.core.rl_module.rl_module")
    if not (path / _MODULE).is_dir():
        raise EntrantError(f"{path}: has no {_MODULE}; checkpoints of RLlib's old API stack cannot take part")
    try:
        module = rl_module.RLModule.from_checkpoint(str((path / _MODULE).absolute()))
        spaces = module.observation_space, module.action_space
    except Exception as error:  # it imports and builds a class named in the file, which raises anything
        raise EntrantError(f"{path}: RLlib does not open it: {type(error).__name__}: {error}") from error

    def act(obs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            told = module.forward_inference({"obs": torch.from_numpy(obs)})
        return (told["actions"] if "actions" in told else told["action_dist_inputs"].argmax(dim=1)).numpy()

    digest = hashlib.sha256()
    for file in list_plain(path / _MODULE, 1000):
        digest.update(file.encode() + read_bytes(path / _MODULE / file, MAX_BYTES))
    return _entrant(path, name, "rllib", type(module).__name__, digest.hexdigest(), act, spaces)


def _entrant(
    path: Path, name: str, kind: str, algorithm: str, digest: str, act: Any, spaces: tuple[Any, Any]
) -> FunctionEntrant:
    """Return the entrant; EntrantError unless its spaces are flat observations and discrete actions."""
    observation, action = spaces
    shape, num_actions = observation.shape, vars(action).get("n")
    if shape is None or len(shape) != 1 or num_actions is None:
        raise EntrantError(
            f"{path}: takes {observation} and {action}, and our worlds have flat observations and discrete actions"
        )
    facts = EntrantFacts(
        name=name,
        kind=kind,
        knows=LIDAR_ONLY,
        method=name,
        train_seed=None,
        source=str(path),
        provenance={"algorithm": algorithm, "sha256": digest},
    )
    return FunctionEntrant(
        facts=facts, outfit=None, fingerprint=digest, function=act, obs_dim=int(shape[0]), num_actions=int(num_actions)
    )
