"""Config: every mistake gets one message with file, line, key and what to do; every shipped YAML loads."""

import random
import string
from pathlib import Path

import pytest

from robonav_ray.config import RunConfig
from robonav_ray.config.load import ConfigError, dump_config, load_run_config

ROOT = Path(__file__).parents[3]


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return path


def test_defaults_round_trip_through_yaml(tmp_path: Path) -> None:
    config = load_run_config(None, ["seed=5", "learner.learning_rate=3e-4", "curriculum.stages.1.gate.min_return=7.5"])
    assert config.curriculum.stages[1].gate.min_return == 7.5
    assert config.curriculum.stages[0] == RunConfig().curriculum.stages[0]
    assert load_run_config(write(tmp_path, dump_config(config))) == config


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "run").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_run_configs_load(path: Path) -> None:
    load_run_config(path)
    assert path.read_text().startswith("#"), "a shipped config opens with the question that the run answers"


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "curriculum").glob("*.yaml")), ids=lambda p: p.stem)
def test_shipped_curricula_load(path: Path) -> None:
    load_run_config(path)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("learner:\n  batchsize: 3\n", ["run.yaml:2", "learner.batchsize", "did you mean 'batch_size'"]),
        ("learner:\n  device: cpux\n", ["run.yaml:2", "learner.device", "'auto', 'cpu' or 'cuda'", "cpux"]),
        ("seed: 1\nseed: 2\n", ["run.yaml:2", "'seed'", "twice"]),
        ("seed: &a 1\n", ["run.yaml:1", "anchors"]),
        ("seed: !!python/object:os.system x\n", ["run.yaml:1", "tag"]),
        ("learner: [1\n", ["run.yaml", "not valid YAML"]),
        ("- 1\n", ["a config is a mapping", "a list"]),
        ("curriculum:\n  start_stage: 7\n", ["run.yaml", "start_stage", "there is no stage 7"]),
        ("learner: {num_ranks: 3}\n", ["learner.batch_size (256)", "learner.num_ranks (3)"]),
        ("replay: {min_size: 999999999}\n", ["replay.min_size", "learning would never begin"]),
        ("evaluation: {seed: 0}\n", ["evaluation.seed", "held out"]),
        ("rollout: {num_workers: no}\n", ["rollout.num_workers", "'auto'"]),
        ("rollout: {num_workers: 0}\n", ["rollout.num_workers", "greater than or equal to 1", "'auto'"]),
        ("rollout: {max_restarts: -1}\n", ["rollout.max_restarts", "greater than or equal to 0"]),
        ("tracking: {backends: [jsonl, jsonl]}\n", ["tracking.backends", "'jsonl'", "twice"]),
        ("evaluation:\n  levels: [0, 0]\n", ["run.yaml:2", "evaluation.levels", "stage 0 stands twice"]),
        ("evaluation: {levels: []}\n", ["evaluation.levels", "at least 1"]),
        ("evaluation: {levels: [-1]}\n", ["evaluation.levels", "greater than or equal to 0"]),
        (
            "seed: 3\nevaluation:\n  levels: [3, 4]\n",
            ["run.yaml:3", "evaluation.levels: there is no stage 4", "3 (full_challenge)"],
        ),
        ("evaluation: {weights: mean}\n", ["evaluation.weights", "'averaged' or 'online'"]),
        (
            "curriculum: {start_stage: 1, force_stage: 2}\n",
            ["start_stage (1)", "force_stage (2)", "leave one of the two out"],
        ),
        (
            "env: {id: CartPole-v1}\ncurriculum: {force_stage: 1}\n",
            ["curriculum.force_stage: there is no stage 1", "open stage 0"],
        ),
        (
            "env: {id: CartPole-v1}\ncurriculum: {start_stage: 3}\n",
            ["curriculum.start_stage: there is no stage 3", "CartPole-v1"],
        ),
        (
            "env: {id: CartPole-v1}\nevaluation: {levels: [1]}\n",
            ["evaluation.levels: there is no stage 1", "curriculum.stages"],
        ),
        (
            "learner: {target_interval: 100}\n",
            ["learner.target_interval (100)", "target_update is polyak", "leave it out"],
        ),
        ("learner: {target_update: hard, target_tau: 0.1}\n", ["learner.target_tau (0.1)", "target_update is hard"]),
        (
            "replay: {sampler: uniform, priority_exponent: 0.5}\n",
            ["replay.priority_exponent (0.5)", "sampler is uniform"],
        ),
        ("replay: {sampler: uniform, priority_epsilon: 0.5}\n", ["replay.priority_epsilon (0.5)"]),
        ("replay: {sampler: uniform, importance_exponent: 0.5}\n", ["replay.importance_exponent (0.5)"]),
        ("replay: {sampler: uniform, importance_exponent_final: 0.9}\n", ["replay.importance_exponent_final (0.9)"]),
        ("replay: {sampler: uniform, importance_anneal_steps: 9}\n", ["replay.importance_anneal_steps (9)"]),
        (
            "env: {world: {lidar: {stack: 1, align: false}}}\n",
            ["env.world.lidar", "align (False) would be ignored", "stack is 1"],
        ),
        ("env: {world: {lidar: {stack: 1, stack_interval: 2}}}\n", ["stack_interval (2) would be ignored"]),
        ("runtime: {address: auto, num_cpus: 4}\n", ["runtime.num_cpus (4)", "runtime.address", "leave it out"]),
        ("runtime: {address: auto, object_store_bytes: 100000000}\n", ["runtime.object_store_bytes (100000000)"]),
        ("runtime: {address: auto, dashboard: true}\n", ["runtime.dashboard (True)"]),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_run_config(write(tmp_path, text))
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["learner.target_update=hard", "learner.target_interval=100"],
        ["learner.target_tau=0.1"],
        ["replay.sampler=uniform"],
        ["runtime.address=auto", "runtime.auth_mode=token"],
        ["curriculum.force_stage=2", "curriculum.start_stage=0"],
        ["evaluation.levels=[0, 3]", "rollout.num_workers=1"],
        ["env.id=CartPole-v1", "evaluation.levels=[0]"],
    ],
)
def test_a_resolved_config_with_every_key_written_out_loads(tmp_path: Path, overrides: list[str]) -> None:
    config = load_run_config(None, overrides)
    assert load_run_config(write(tmp_path, dump_config(config))) == config


@pytest.mark.parametrize(
    "override", ["algo.v_max=.inf", "algo.v_min=.nan", "env.world.reward.goal=.nan", "budget.time_s=.inf"]
)
def test_numbers_that_are_not_finite_are_refused(override: str) -> None:
    with pytest.raises(ConfigError, match=rf"{override.partition('=')[0]}: input should be a finite number"):
        load_run_config(None, ["algo.distribution=c51", override])


def test_a_problem_between_sections_is_found_where_its_key_was_set(tmp_path: Path) -> None:
    path = write(tmp_path, "name: x\nlearner:\n  num_ranks: 3\n")
    with pytest.raises(ConfigError, match=r"run\.yaml:3: learner\.batch_size"):
        load_run_config(path, ["seed=5"])
    with pytest.raises(ConfigError, match=r"override 'learner\.batch_size=100': learner\.batch_size"):
        load_run_config(path, ["seed=5", "learner.batch_size=100"])


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "seed: -1\nlearner:\n  learning_rate: 0\n")
    with pytest.raises(ConfigError) as caught:
        load_run_config(path, ["replay.capcity=3"])
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    "override", ["foo", "=3", "a..b=3", "learner.batch_size.x=3", "curriculum.stages.9.name=x", "learner=3"]
)
def test_bad_overrides(override: str) -> None:
    with pytest.raises(ConfigError, match="override"):
        load_run_config(None, [override])


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-4", 1e-4), ("no", "no"), ("1:30", "1:30"), ("0x10", 16), ("true", True), ("", None), ("1_000", 1000)],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    assert load_run_config(None, ["env.id=CartPole-v1", f"env.kwargs.x={text}"]).env.kwargs["x"] == value


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "seed: 1\n")
    with pytest.raises(ConfigError, match=r"did you mean .*run\.yaml"):
        load_run_config(tmp_path / "runn.yaml")


@pytest.mark.parametrize("num", [100, pytest.param(1000, marks=pytest.mark.slow)])
def test_fuzzed_configs_never_end_in_a_traceback(tmp_path: Path, num: int) -> None:
    """Damaged copies of the full config: each loads, or is refused with a ConfigError."""
    rng = random.Random(7)
    base = dump_config(RunConfig())
    refused = 0
    for _ in range(num):
        text = list(base)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(text))
            text[at : at + rng.randint(0, 6)] = rng.choice(
                ["", "-1", "nan", ": ", "\n", "[", "{}", "null", rng.choice(string.printable)]
            )
        try:
            load_run_config(write(tmp_path, "".join(text)))
        except ConfigError as error:
            refused += bool(str(error))
    assert refused > 0.3 * num


def test_a_mistake_elsewhere_is_told_and_not_the_stages_that_an_override_goes_into() -> None:
    for mistake, said in (
        ("env.world.observation=state", "observation=lidar"),
        ("learner.batch_size=-1", "learner.batch_size"),
    ):
        with pytest.raises(ConfigError, match=said):
            load_run_config(None, ["env.world.lidar.num_beams=12", mistake, "curriculum.stages.0.level.max_steps=40"])
    with pytest.raises(ConfigError, match="min_return") as raised:
        load_run_config(
            None, ["env.id=CartPole-v1", "learner.batch_size=-1", "curriculum.stages.0.gate={min_return: x}"]
        )
    assert "batch_size" in str(raised.value)
