"""What a server answers, without its server; who is let in; what is not served. The real one is among the slow ones."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robonav_ray.deploy import act_request
from robonav_ray.deploy.bearer import hash_of, lets_in, token_hash
from robonav_ray.deploy.counts import BATCH, REQUESTS, Counts, Sums, page
from robonav_ray.deploy.door import Door, Reply, Request
from robonav_ray.deploy.served import Plan, Served, Source, plan
from robonav_ray.errors import UserError
from robonav_ray.evaluation.fleet.exposures import EXPOSURES, ROLLED_BACK
from robonav_ray.evaluation.fleet.split import Arm, FleetSplit
from tests.conftest import Robonav
from tests.two_models import models_in

TOKEN = "0123456789abcdef-token"


class Client:
    """Speaks to a door, as HTTP would."""

    def __init__(self, served: Served) -> None:
        self.served, self.infers = served, 0

        async def infer(arm: Arm, obs: np.ndarray) -> np.ndarray:
            self.infers += 1
            return served.q_values([(arm, obs)])[0]

        async def collect(sums: Sums) -> Iterable[Sums]:
            return [sums, sums]

        self.door = Door(served, hash_of(TOKEN), infer, collect)

    def send(self, path: str, body: bytes | object = b"", *, method: str | None = None, **options: Any) -> Reply:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        method = method or ("POST" if path == "/act" else "GET")

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(data), 1 << 16):
                yield data[start : start + (1 << 16)]

        bearer = options.get("authorization", f"Bearer {TOKEN}")
        return asyncio.run(self.door.answer(Request(method, path, bearer, options.get("length"), chunks())))

    def act(self, told: object, code: int = 200) -> dict[str, Any]:
        reply = self.send("/act", told)
        assert reply.code == code, reply.body
        return json.loads(reply.body)


@pytest.fixture(scope="module")
def one(made_bundle: Path) -> Client:
    return Client(Served(plan(str(made_bundle), None, made_bundle)))


def rows_of(client: Client, num: int) -> np.ndarray:
    return np.random.default_rng(num).uniform(-1, 1, (num, client.served.spec.obs_dim)).astype(np.float32)


def test_it_acts_as_the_bundle_does(one: Client) -> None:
    obs = rows_of(one, 5)
    q = one.served.q_values([("champion", obs)])[0]
    told = one.act({"obs": obs.tolist(), "q_values": True})
    assert told["action"] == q.argmax(axis=1).tolist()
    assert np.array_equal(np.array(told["q_values"], np.float32), q)
    assert told["command"] == one.served.spec.actions[q.argmax(axis=1)].tolist()
    single = one.act({"obs": obs[0].tolist()})
    assert single["action"] == told["action"][0]
    assert "q_values" not in single


def test_requests_of_two_arms_are_answered_in_their_order(made_bundle: Path) -> None:
    found = plan(str(made_bundle), None, made_bundle).policies["champion"]
    client = Client(Served(Plan({"champion": found, "challenger": found})))
    obs = rows_of(client, 6)
    parts: list[tuple[Arm, np.ndarray]] = [("challenger", obs[:1]), ("champion", obs[1:4]), ("challenger", obs[4:])]
    together = np.concatenate(client.served.q_values(parts))
    assert np.allclose(together, client.served.q_values([("champion", obs)])[0], atol=1e-5)


def wrong(dim: int) -> dict[str, tuple[bytes | object, int, str]]:
    good = [0.0] * dim
    return {
        "empty": (b"", 400, "no JSON"),
        "list": ([good], 400, "no JSON object"),
        "nan": (b'{"obs": [NaN]}', 400, "NaN"),
        "infinity": (b'{"obs": [-Infinity]}', 400, "-Infinity"),
        "deep": (b"[" * 100_000, 400, "no JSON"),
        "missing": ({}, 422, "obs is missing"),
        "unknown": ({"obs": good, "qvalues": True}, 422, "no key 'qvalues'"),
        "short": ({"obs": good[1:]}, 422, f"it is ({dim - 1},)"),
        "no rows": ({"obs": []}, 422, "obs must be numbers"),
        "three": ({"obs": [[good]]}, 422, "obs must be numbers"),
        "ragged": ({"obs": [good, good[1:]]}, 422, "obs must be numbers"),
        "words": ({"obs": ["1.0"] * dim}, 422, "obs must be numbers"),
        "null": ({"obs": [None] * dim}, 422, "obs must be numbers"),
        "flags": ({"obs": [True] * dim}, 422, "obs must be numbers"),
        "huge": ({"obs": [1e39, *good[1:]]}, 422, "not finite in float32"),
        "beyond": (b'{"obs": [1e999' + b", 0" * (dim - 1) + b"]}", 422, "not finite"),
        "integer": (b'{"obs": [1' + b"0" * 400 + b", 0" * (dim - 1) + b"]}", 422, "obs must be numbers"),
        "many": ({"obs": [good] * (act_request.MAX_ROWS + 1)}, 413, "at most 1024"),
        "large": (b'{"obs": "' + b"x" * act_request.MAX_BODY_BYTES + b'"}', 413, "more than 4000000 bytes"),
        "q_values": ({"obs": good, "q_values": 1}, 422, "true or false"),
        "robot": ({"obs": good, "robot": "a\nb", "episode": 1}, 422, "robot is"),
        "episode": ({"obs": good, "robot": "a", "episode": -1}, 422, "episode is"),
        "half": ({"obs": good, "episode": 1}, 422, "robot is"),
    }


@pytest.mark.parametrize("which", wrong(1))
def test_what_is_no_observation_is_refused_with_one_message(one: Client, which: str) -> None:
    body, code, said = wrong(one.served.spec.obs_dim)[which]
    before = one.infers
    reply = one.send("/act", body)
    assert (reply.code, one.infers) == (code, before)
    told = json.loads(reply.body)
    assert list(told) == ["error"]
    assert said in told["error"]


def test_a_body_that_says_that_it_is_too_large_is_not_read(one: Client) -> None:
    for length in ("4000001", "9" * 5000):
        assert one.send("/act", b"{}", length=length).code == 413


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", TOKEN, "Bearer \udcff"],
)
@pytest.mark.parametrize("path", ["/act", "/health", "/metrics", "/docs"])
def test_nothing_is_told_without_the_token(one: Client, authorization: str | None, path: str) -> None:
    reply = one.send(path, b"{}", authorization=authorization)
    assert reply.code == 401
    assert reply.headers["www-authenticate"] == "Bearer"
    assert b"obs_dim" not in reply.body


def test_other_paths_and_methods(one: Client) -> None:
    assert one.send("/openapi.json").code == 404
    assert one.send("/act", method="GET").code == 405
    assert one.send("/health", method="POST").code == 405
    health = json.loads(one.send("/health").body)
    assert health["status"] == "ok"
    assert health["policies"]["champion"]["bundle_sha256"] == one.served.sha256["champion"]


def test_a_split_says_who_drives_logs_it_and_ends_with_a_rollback(made_bundle: Path, tmp_path: Path) -> None:
    found = plan(str(made_bundle), None, made_bundle).policies["champion"]
    split = FleetSplit("robot_nav", "1", "2", 0.5, "salt")
    split.save(tmp_path / "fleet")
    arms: dict[Arm, Source] = {
        "champion": Source("robot_nav@1", found.folder, found.sha256),
        "challenger": Source("robot_nav@2", found.folder, found.sha256),
    }
    client = Client(Served(Plan(arms, tmp_path / "fleet")))
    obs = rows_of(client, 1)[0].tolist()
    assert "robot and episode" in client.act({"obs": obs}, 422)["error"]
    for _ in range(2):
        for episode in range(20):
            told = client.act({"obs": obs, "robot": "AMR-7", "episode": episode})
            assert told["arm"] == split.arm_of("AMR-7", episode)
            assert told["version"] == f"robot_nav@{split.version_of(told['arm'])}"
    assert len((tmp_path / "fleet" / EXPOSURES).read_text().splitlines()) == 20
    (tmp_path / "fleet" / ROLLED_BACK).write_text("{}")
    drives = {client.act({"obs": obs, "robot": "AMR-7", "episode": episode})["arm"] for episode in range(20)}
    assert drives == {"champion"}
    assert json.loads(client.send("/health").body)["is_rolled_back"]
    text = client.send("/metrics").body.decode()
    assert "robonav_serve_rolled_back 1" in text
    assert 'robonav_serve_observations_total{version="robot_nav@2",arm="challenger"}' in text


def test_what_prometheus_reads_adds_up() -> None:
    counts = Counts()
    counts.add(REQUESTS, path='a"\n\\', code="200")
    for rows in (1.0, 3.0, 5000.0):
        counts.observe(BATCH, rows)
    lines = page([counts.sums(), counts.sums()], {"up": 1.0}).splitlines()
    assert 'robonav_serve_requests_total{path="a\\"\\n\\\\",code="200"} 2' in lines
    assert 'robonav_serve_batch_rows_bucket{le="1"} 2' in lines
    assert 'robonav_serve_batch_rows_bucket{le="4"} 4' in lines
    assert 'robonav_serve_batch_rows_bucket{le="+Inf"} 6' in lines
    assert "robonav_serve_batch_rows_sum 10008" in lines
    assert "robonav_serve_batch_rows_count 6" in lines
    assert [line for line in lines if line.startswith("# TYPE")][-1] == "# TYPE up gauge"


def test_a_token_is_taken_from_a_file_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o600)
    assert lets_in(f"bearer {TOKEN}", token_hash(file))
    monkeypatch.setenv("ROBONAV_SERVE_TOKEN", TOKEN)
    assert token_hash(None) == token_hash(file)
    for mode in (0o640, 0o604, 0o660, 0o602):
        file.chmod(mode)
        with pytest.raises(UserError, match="others on this machine"):
            token_hash(file)
    file.chmod(0o600)
    for text in ("", "short", "with a blank in it", "ünïcodecharacters", "x" * 5000):
        file.write_text(text)
        with pytest.raises(UserError, match="at least 16 ASCII"):
            token_hash(file)
    with pytest.raises(OSError, match="folder"):
        token_hash(tmp_path)


def test_what_cannot_be_served_is_said(
    robonav_here: Robonav, made_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ROBONAV_SERVE_TOKEN", raising=False)
    tried = robonav_here("serve", made_bundle)
    assert tried.returncode == 2
    assert "--token-file" in tried.stderr
    assert "no such file" in robonav_here("serve", made_bundle, "--token-file", tmp_path / "none").stderr
    monkeypatch.setenv("ROBONAV_SERVE_TOKEN", TOKEN)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words: dict[str, tuple[object, ...]] = {
            "nothing can listen": (made_bundle, "--port", taken.getsockname()[1]),
            "from 0": (made_bundle, "--port", 70000),
            "--host": (made_bundle, "--host", "no.such.host.invalid"),
            "--replicas 0": (made_bundle, "--replicas", 0),
            "none": (tmp_path / "none", "--port", 0),
            "split.json": (made_bundle, "--split", tmp_path, "--port", 0),
        }
        for said, given in words.items():
            tried = robonav_here("serve", *given)
            assert (tried.returncode, said in tried.stderr) == (2, True), tried
            assert len(tried.stderr.strip().splitlines()) <= 4


def test_a_split_of_another_model_or_version_is_refused(
    tmp_path: Path, made_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FleetSplit("robot_nav", "2", "1").save(tmp_path / "fleet")
    with pytest.raises(UserError, match="is of the model robot_nav"):
        plan(str(made_bundle), tmp_path / "fleet", tmp_path)
    with pytest.raises(UserError, match="is of the model robot_nav"):
        plan("other@champion", tmp_path / "fleet", tmp_path)
    monkeypatch.setenv("ROBONAV_REGISTRY", str(models_in(tmp_path / "models").location))
    with pytest.raises(UserError, match=r"its champion is robot_nav@2, and robot_nav@champion is version 1"):
        plan("robot_nav@champion", tmp_path / "fleet", tmp_path)
