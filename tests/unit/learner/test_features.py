"""Precision, accumulation and compilation change nothing beyond their tolerance; what cannot work is refused."""

from __future__ import annotations

import importlib.util
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch

from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.config.load import ConfigError, load_run_config
from robonav_ray.errors import UserError
from robonav_ray.learner import compilation, devices
from robonav_ray.learner.accumulation import pieces
from robonav_ray.learner.compilation import check_compile, cxx_compiler
from robonav_ray.learner.meters import LearnerMeters
from robonav_ray.learner.precision import Precision, check_precision, has_bf16
from robonav_ray.learner.ranks import OneRank
from robonav_ray.learner.state import LearnerState
from robonav_ray.learner.tensor_tree import to_float32
from robonav_ray.learner.update import Update
from robonav_ray.verbs.train import train_command
from tests.fakes import FakeReplay

OBS_DIM, NUM_ACTIONS, ROWS = 20, 5, 48
CPU = torch.device("cpu")
VARIANTS = {
    "plain": AlgoConfig(hidden_dims=(64, 64)),
    "rainbow": AlgoConfig(hidden_dims=(64, 64), distribution="c51", noisy=True),
    "iqn": AlgoConfig(hidden_dims=(64, 64), distribution="iqn", dropout=0.2, layer_norm=True),
}
needs_bf16 = pytest.mark.skipif(not has_bf16(CPU), reason="this CPU has no bf16")


def make_update(
    algo: AlgoConfig = VARIANTS["plain"], device: torch.device = CPU, **changes
) -> tuple[LearnerState, Update]:
    config = LearnerConfig(batch_size=ROWS, learning_rate=1e-3, **changes)
    state = LearnerState(OBS_DIM, NUM_ACTIONS, algo, config, 0, device)
    return state, Update(state, algo, config, FakeReplay(OBS_DIM, NUM_ACTIONS).spec)


def samples(count: int, rows: int = ROWS) -> list:
    replay = FakeReplay(OBS_DIM, NUM_ACTIONS, seed=3)
    return replay.sample(rows, count)


def gradient(state: LearnerState, update: Update, sample) -> torch.Tensor:
    update.gradients(update._stage.load(sample))
    state.precision.unscale(state.optimizer)
    return torch.cat([p.grad.flatten().cpu().float().clone() for p in state.online.parameters() if p.grad is not None])


def off(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@needs_bf16
@pytest.mark.parametrize("name", VARIANTS)
def test_bf16_gradients_are_those_of_float32_within_five_percent(name):
    """bf16 has 8 bits of mantissa, so a product is good to .4 %; what is bounded here is the whole gradient."""
    (sample,) = samples(1)
    expected = gradient(*make_update(VARIANTS[name]), sample)
    found = gradient(*make_update(VARIANTS[name], precision="bf16"), sample)
    assert 1e-5 < off(found, expected) < 0.05


def test_auto_is_bf16_only_where_the_processor_has_instructions_for_it(monkeypatch):
    monkeypatch.setattr("robonav_ray.learner.precision.has_bf16", lambda device: True)
    for native, name in ((True, "bf16"), (False, "float32")):
        monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda native=native: native)
        assert Precision("auto", CPU).name == name
    monkeypatch.setattr("robonav_ray.learner.precision.has_bf16", lambda device: False)
    assert Precision("auto", CPU).dtype is None
    check_precision("auto", CPU)


@needs_bf16
def test_weights_moments_and_priorities_stay_float32_in_bf16():
    state, update = make_update(precision="bf16")
    priority = update(samples(1)[0])
    assert priority is not None
    assert priority.dtype == np.float32
    assert {t.dtype for t in state.tensors().values()} == {torch.float32}
    assert all(a.dtype == np.float32 for a in state.snapshot().arrays)


def fp16_update(init_scale: float) -> tuple[LearnerState, Update]:
    """On the CPU, which the config refuses because it is slow; the arithmetic of the scaling is the same there."""
    state, update = make_update(precision="fp16")
    state.precision = Precision("fp16", CPU, init_scale=init_scale)
    return state, update


@pytest.mark.parametrize("init_scale", [1.0, 1024.0])
def test_fp16_gradients_do_not_depend_on_the_scale(init_scale):
    (sample,) = samples(1)
    assert off(gradient(*fp16_update(init_scale), sample), gradient(*make_update(), sample)) < 0.01


def test_an_overflow_of_the_scale_is_skipped_and_not_called_bad():
    state, update = fp16_update(2.0**40)
    before = {k: t.clone() for k, t in state.tensors().items()}
    made = [update(sample) is not None for sample in samples(40)]
    first = made.index(True)
    assert first > 3, "three overflows in a row must not end the run"
    assert update.num_bad == 0
    assert state.precision.num_overflows == made.count(False)
    assert state.precision.loss_scale == 2.0 ** (40 - made.count(False))
    assert state.learner_step == made.count(True)
    assert not torch.equal(before["online.head.bias"], state.tensors()["online.head.bias"])


def test_bad_numbers_are_bad_in_fp16_too_and_leave_the_scale_alone():
    state, update = fp16_update(1024.0)
    (sample,) = samples(1)
    sample.columns[2].flags.writeable = True
    sample.columns[2][5] = np.nan
    assert update(sample) is None
    assert (update.num_bad, state.precision.num_overflows, state.precision.loss_scale) == (1, 0, 1024.0)
    assert update(samples(1)[0]) is not None


def test_the_scale_is_saved_and_may_meet_another_precision(tmp_path):
    state, update = fp16_update(512.0)
    for sample in samples(3):
        update(sample)
    state.save(tmp_path)
    other, _ = fp16_update(8.0)
    other.load(tmp_path)
    assert other.precision.state_dict() == state.precision.state_dict() == {"scale": 512.0, "growth_tracker": 3}
    plain, _ = make_update()
    plain.load(tmp_path)
    assert plain.learner_step == 3
    plain.save(tmp_path / "plain")
    other.load(tmp_path / "plain")
    assert other.precision.loss_scale == 512.0
    with pytest.raises(ValueError, match="growth_tracker"):
        other.precision.load_state_dict({"scale": 1.0})


def test_the_scale_is_reported_where_there_is_one():
    for state, update, expected in ((*fp16_update(256.0), 256.0), (*make_update(), None)):
        update(samples(1)[0])
        metrics = LearnerMeters(0).report(state, update, OneRank())
        assert metrics.get("learner/loss_scale") == expected
        assert metrics.get("learner/loss_overflows") == (None if expected is None else 0.0)


def test_half_precision_answers_become_float32_and_nothing_else_changes():
    half, whole = torch.ones(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.int64)
    out = to_float32({"a": (half, whole), "b": [half], "c": "text"})
    assert out["a"][0].dtype == out["b"][0].dtype == torch.float32
    assert out["a"][1] is whole
    assert out["c"] == "text"


def test_pieces_cover_a_batch_once_and_weigh_one():
    for rows, steps in ((12, 4), (10, 3), (7, 7), (5, 1)):
        found = list(pieces(rows, steps))
        assert [i for p in found for i in range(p.start, p.stop)] == list(range(rows))
        assert sum(p.weight for p in found) == pytest.approx(1.0)
        assert [p.is_last for p in found] == [False] * (steps - 1) + [True]
    with pytest.raises(ValueError, match="larger batch"):
        list(pieces(3, 4))


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("steps", [2, 5])
def test_pieces_add_up_to_one_batch(name, steps):
    """48 rows in 5 pieces are uneven ones; draws are per row of the whole batch."""
    whole, in_pieces = make_update(VARIANTS[name]), make_update(VARIANTS[name])
    in_pieces[1]._num_pieces = steps
    for sample in samples(6):
        weight = np.random.default_rng(1).random(ROWS).astype(np.float32)
        sample.importance_weight[:] = weight
        expected, found = whole[1](sample), in_pieces[1](sample)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    for a, b in zip(whole[0].online.parameters(), in_pieces[0].online.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5)
    one, other = whole[1].take_means(), in_pieces[1].take_means()
    assert one is not None
    assert other is not None
    assert one == pytest.approx(other, rel=1e-4)


@needs_bf16
def test_stop_and_resume_gives_the_same_bits_with_every_feature_on(tmp_path):
    """What is drawn is a function of seed and step, so a resumed learner needs no generator's state, on any number of
    ranks."""
    features = {
        "precision": "bf16",
        "accumulation_steps": 3,
        "lr_schedule": "linear",
        "lr_schedule_steps": 20,
        "lr_warmup_steps": 4,
    }
    straight, resumed = make_update(VARIANTS["iqn"], **features), make_update(VARIANTS["iqn"], **features)
    drawn = samples(12)
    for sample in drawn:
        straight[1](sample)
    for sample in drawn[:5]:
        resumed[1](sample)
    resumed[0].save(tmp_path)
    again = make_update(VARIANTS["iqn"], **features)
    again[0].load(tmp_path)
    for sample in drawn[5:]:
        again[1](sample)
    expected, found = straight[0].tensors(), again[0].tensors()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert straight[0].optimizer.learning_rate == again[0].optimizer.learning_rate < 1e-3


def compile_parity(device: torch.device, mode: str, algo: AlgoConfig, **changes) -> None:
    (eager_state, eager), (state, update) = (
        make_update(algo, device),
        make_update(algo, device, compile=mode, **changes),
    )
    for sample in samples(4):
        expected, found = eager(sample), update(sample)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    for a, b in zip(eager_state.online.parameters(), state.online.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("steps", [1, 2])
def test_gradients_of_several_pieces_do_not_live_in_the_memory_of_a_captured_graph(steps, monkeypatch):
    """Its next run overwrites them, so with several pieces autograd must add to tensors that were there before."""
    monkeypatch.setattr("robonav_ray.learner.update.compiled", lambda f, mode: f)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: None)
    state, update = make_update(compile="reduce-overhead", accumulation_steps=steps)
    first, second = samples(2)
    gradient(state, update, first)
    own = [p.grad for p in state.online.parameters()]
    found = gradient(state, update, second)
    torch.testing.assert_close(found, gradient(*make_update(), second))
    assert all((a is p.grad) == (steps > 1) for a, p in zip(own, state.online.parameters(), strict=True))


def test_what_is_compiled_is_what_is_run(monkeypatch):
    """Traced by the compiler's front end and run without its back end, which needs no C++ compiler and no minute."""
    monkeypatch.setattr(
        compilation, "compiled", lambda f, mode: f if mode == "off" else torch.compile(f, backend="eager")
    )
    monkeypatch.setattr("robonav_ray.learner.update.compiled", compilation.compiled)
    compile_parity(CPU, "default", VARIANTS["plain"])
    compile_parity(CPU, "default", VARIANTS["plain"], accumulation_steps=2)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns about its own imports
@pytest.mark.skipif(cxx_compiler() is None, reason="no C++ compiler for torch.compile")
@pytest.mark.parametrize("name", VARIANTS)
def test_compiled_updates_are_the_same(name):
    compile_parity(CPU, "default", VARIANTS[name])


def test_every_rank_hears_what_one_cannot_do(monkeypatch):
    class Told(OneRank):
        def gather(self, value):
            return [value, "learner.precision=bf16: cuda:0 has none"]

    with pytest.raises(UserError, match="cuda:0"):
        devices.pick_device_of_all(LearnerConfig(), "cpu", 0, Told())
    assert devices.pick_device_of_all(LearnerConfig(), "cpu", 0, OneRank()) == CPU
    monkeypatch.setattr(compilation, "cxx_compiler", lambda: None)
    with pytest.raises(UserError, match=r"C\+\+ compiler"):
        devices.pick_device_of_all(LearnerConfig(compile="default"), "cpu", 0, OneRank())


def test_what_a_device_has_not_is_refused_with_the_alternatives(monkeypatch):
    with pytest.raises(UserError, match=r"fp16 needs a GPU.*float32"):
        check_precision("fp16", CPU)
    with pytest.raises(UserError, match="choose float32, bf16, fp16"):
        check_precision("fp8", CPU)
    monkeypatch.setattr("robonav_ray.learner.precision.has_bf16", lambda device: False)
    with pytest.raises(UserError, match="take float32"):
        check_precision("bf16", CPU)
    with pytest.raises(UserError, match="take fp16 or float32"):
        check_precision("bf16", torch.device("cuda", 0))
    with pytest.raises(UserError, match=r"reduce-overhead captures CUDA graphs.*default or off"):
        check_compile("reduce-overhead", CPU)
    with pytest.raises(UserError, match="choose off, default"):
        check_compile("max", CPU)
    if importlib.util.find_spec("triton") is None:
        with pytest.raises(UserError, match="Triton"):
            check_compile("default", torch.device("cuda", 0))
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match=r"learner\.device=cpu"):
            devices.pick_device("cuda")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["learner.precision=fp16", "learner.device=cpu"], "learner.precision=fp16 needs a GPU"),
        (["learner.compile=reduce-overhead", "learner.device=cpu"], "CUDA graphs"),
        (["learner.precision=half"], "'float32', 'bf16', 'fp16' or 'auto'"),
        (["learner.compile=max-autotune"], "'off', 'default' or 'reduce-overhead'"),
        (["learner.accumulation_steps=3"], r"multiple of learner.num_ranks x learner.accumulation_steps \(1 x 3\)"),
        (["learner.accumulation_steps=0"], "greater than or equal to 1"),
    ],
)
def test_features_that_cannot_work_are_refused_at_load(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_run_config(None, overrides)


def test_what_depends_on_the_cluster_is_refused_once_it_is_known():
    config = load_run_config(None, ["learner.precision=fp16"]).learner
    config.check_device("cuda")
    with pytest.raises(ValueError, match="bf16"):
        config.check_device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU that is here can")
def test_a_local_run_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(UserError, match=r"learner\.precision=fp16 needs a GPU"):
        train_command(
            None, ["learner.precision=fp16", f"output_dir={tmp_path}/runs"], resume=None, directory=None, local=True
        )
    assert not (tmp_path / "runs").exists()


def test_what_torch_compiles_is_kept_where_nobody_else_can_write(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for given, expected in (("", tmp_path / "robonav_ray" / "inductor"), ("/given", Path("/given"))):
        monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
        if given:
            monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", given)
        compilation.compiled(lambda x: x, "default")
        assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(expected)
    assert stat.S_IMODE((tmp_path / "robonav_ray" / "inductor").stat().st_mode) == 0o700
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    compilation.compiled(lambda x: x, "default")
    assert stat.S_IMODE(os.stat(os.environ["TORCHINDUCTOR_CACHE_DIR"]).st_mode) == 0o700
