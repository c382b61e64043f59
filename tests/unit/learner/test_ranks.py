"""Two ranks on half batches are one process on the whole batch, and stay equal to each other."""

from __future__ import annotations

import json
import os
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed as dist

from robonav_ray.commands import Command, Cut, Refused, Resume, Save, TakeOver, Written
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.learner.command_handler import CommandHandler, load_shared
from robonav_ray.learner.loop import LearnerLoop
from robonav_ray.learner.ranks import ProcessGroupRanks, RanksDivergedError
from robonav_ray.learner.remote import data_parallel
from robonav_ray.learner.update import Update
from robonav_ray.records import ReplaySample
from tests.fakes import FakeReplay, FakeWeights, ScriptedCommands
from tests.two_ranks import run_two_ranks
from tests.unit.learner.conftest import ALGO, NUM_ACTIONS, OBS_DIM, make_state

WHOLE = LearnerConfig(batch_size=32, learning_rate=3e-3, batches_per_call=2, publish_interval=5, report_interval=4)


def half(sample: ReplaySample, rank: int) -> ReplaySample:
    part = slice(rank * 16, rank * 16 + 16)
    columns = tuple(c[part] for c in sample.columns)
    return ReplaySample(columns, sample.item_id[part], sample.probability[part], sample.importance_weight[part])


def test_gradients_of_halves_average_to_the_whole():
    """The same in one process: no process group, just the mean of two gradients."""
    replay = FakeReplay(OBS_DIM, NUM_ACTIONS, seed=3)
    (sample,) = replay.sample(32, 1)
    sample.importance_weight[:] = np.random.default_rng(0).random(32)
    gradients = []
    for part in (sample, half(sample, 0), half(sample, 1)):
        state = make_state()
        update = Update(state, ALGO, WHOLE, replay.spec)
        update.gradients(update._stage.load(part))
        gradients.append([p.grad.clone() for p in state.online.parameters()])
    for whole, first, second in zip(*gradients, strict=True):
        torch.testing.assert_close((first + second) / 2, whole, rtol=1e-5, atol=1e-6)


def rank_main(rank: int, port: int, directory: str) -> None:
    """One of two gloo processes; leaves what it found in ``directory``."""
    try:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
        result = parity(rank) | lockstep(rank, Path(directory)) | give_up(rank, Path(directory))
        result |= diverge(rank, Path(directory))
        dist.barrier()
        dist.destroy_process_group()
    except BaseException:  # noqa: BLE001  the parent shows it
        result = {"error": traceback.format_exc()}
    (Path(directory) / f"rank{rank}.json").write_text(json.dumps(result))
    os._exit(0)  # gloo's threads now and then abort an interpreter that is tearing itself down


def parity(rank: int) -> dict:
    """Ten updates on halves; how far rank's weights are from those of one process, and a fingerprint of them."""
    state, alone = make_state(), make_state()
    replay = FakeReplay(OBS_DIM, NUM_ACTIONS, seed=3)
    update = Update(state, ALGO, WHOLE, replay.spec, data_parallel(state))
    reference = Update(alone, ALGO, WHOLE, replay.spec)
    for _ in range(10):
        (sample,) = replay.sample(32, 1)
        reference(sample)
        assert update(half(sample, rank)) is not None
    off = max(
        float((a - b).detach().abs().max())
        for a, b in zip(state.online.parameters(), alone.online.parameters(), strict=True)
    )
    before = state.fingerprint()
    sample = replay.sample(32, 1)[0]
    if rank == 1:  # one rank's bad row makes both drop the update
        sample.columns[2].flags.writeable = True
        sample.columns[2][20] = np.inf
    dropped = update(half(sample, rank)) is None
    unchanged = before == state.fingerprint()
    return {"off": off, "parity": state.fingerprint(), "dropped": dropped, "unchanged": unchanged, **in_pieces(rank)}


def in_pieces(rank: int) -> dict:
    """The same with every half in four pieces, whose gradients are averaged once; and how often that was."""
    state, alone = make_state(), make_state()
    replay = FakeReplay(OBS_DIM, NUM_ACTIONS, seed=5)
    model, counts = data_parallel(state), []
    model.register_comm_hook(None, lambda _, bucket: (counts.append(1), dist.all_reduce(
        bucket.buffer().div_(2), async_op=True).get_future().then(lambda f: f.value()[0]))[1])  # fmt: skip
    update = Update(state, ALGO, WHOLE.model_copy(update={"accumulation_steps": 4}), replay.spec, model)
    reference = Update(alone, ALGO, WHOLE, replay.spec)
    for _ in range(5):
        (sample,) = replay.sample(32, 1)
        reference(sample)
        update(half(sample, rank))
    pairs = zip(state.online.parameters(), alone.online.parameters(), strict=True)
    return {"off_in_pieces": max(float((a - b).detach().abs().max()) for a, b in pairs), "averaged": len(counts)}


def give_up(rank: int, directory: Path) -> dict:
    """One rank's third bad batch ends both, with the same reason and a file of each."""
    replay = FakeReplay(OBS_DIM, NUM_ACTIONS, seed=6)
    state = make_state()
    update = Update(state, ALGO, WHOLE, replay.spec, data_parallel(state), ProcessGroupRanks(60.0), directory / "run")
    replay.poison_for = 3 * rank
    try:
        for _ in range(3):
            update(replay.sample(16, 1)[0])
    except FloatingPointError as error:
        return {"given_up": str(error)}
    return {}


def lockstep(rank: int, directory: Path) -> dict:
    """The loop with a rank that is dry at times, commands from rank 0, and a load that only rank 0 can see."""
    ranks = ProcessGroupRanks(timeout_s=200.0)
    donor = make_state(seed=8)
    if rank == 0:
        donor.save(directory / "donor")
    donor_at = str(directory / ("donor" if rank == 0 else "not here"))
    script = [[], [Command(1, Cut(str(directory / "cut")))], [Command(2, Resume())]]
    script += [[Command(3, TakeOver(donor_at, {"learning_rate": 1e-4}))], [Command(4, Resume())], [], []]
    commands = ScriptedCommands(*script, until=lambda m: m["learner/learner_step"] >= 12)
    state, replay, weights = make_state(seed=rank), FakeReplay(OBS_DIM, NUM_ACTIONS, seed=rank), FakeWeights()
    ranks.broadcast_tensors(list(state.tensors().values()))
    replay.dry_for = 3 * rank
    loop = LearnerLoop(
        state, ALGO, WHOLE, replay.spec, source=replay, priorities=replay, weights=weights, commands=commands,
        ranks=ranks, model=data_parallel(state),
    )  # fmt: skip
    loop.run()
    try:
        load_shared(state, directory / "nowhere", ranks)
    except ValueError as error:
        refusal = str(error)
    return {
        "weights": state.fingerprint(),
        "counters": state.counters(),
        "learning_rate": state.optimizer.learning_rate,
        "batch": replay.calls[-1][0],
        "published": len(weights.snapshots),
        "refused": [str(answer) for answer in commands.answers.values() if isinstance(answer, Refused)],
        "num_answers": len(commands.answers),
        "refusal": refusal,
    }


def diverge(rank: int, directory: Path) -> dict:
    """A save of equal ranks, and one after a single bit of one rank's optimiser was turned."""
    ranks, state = ProcessGroupRanks(timeout_s=200.0), make_state()
    handler = CommandHandler(
        state, WHOLE, Update(state, ALGO, WHOLE, FakeReplay(OBS_DIM, NUM_ACTIONS, seed=1).spec), ranks, None
    )
    answer = handler.answer(Command(1, Save(str(directory / "equal"))))
    num_files = len(answer.files) if isinstance(answer, Written) else -1
    if rank == 1:
        state.optimizer.exp_avg[0].view(-1).view(torch.int32)[0] ^= 1
    try:
        handler.answer(Command(2, Cut(str(directory / "diverged"))))
    except RanksDivergedError as error:
        return {"saved": num_files, "diverged": str(error), "written": (directory / "diverged").exists()}
    return {"saved": num_files}


def test_two_real_ranks(tmp_path):
    zero, one = run_two_ranks(rank_main, tmp_path)
    assert zero["off"] < 1e-5
    assert zero["parity"] == one["parity"]
    assert zero["off_in_pieces"] < 1e-5
    assert zero["averaged"] == 5
    assert "rank 1: not finite in the batch: reward (1 NaN" in zero["given_up"]
    assert "given_up" in one
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        f"bad_batch_rank{r}.{kind}" for r in (0, 1) for kind in ("npz", "json")
    }
    assert zero["dropped"]
    assert one["dropped"]
    assert zero["unchanged"]
    assert zero["weights"] == one["weights"]
    assert zero["counters"] == one["counters"]
    assert zero["counters"]["samples"] == 32 * zero["counters"]["learner_step"] > 0
    assert zero["learning_rate"] == one["learning_rate"] == pytest.approx(1e-4)
    assert zero["batch"] == one["batch"] == 16
    assert zero["published"] > 1
    assert one["published"] == 0
    assert zero["refused"] == []
    assert (zero["num_answers"], one["num_answers"]) == (4, 0)
    assert zero["saved"] > 0
    for found in (zero, one):
        assert found["diverged"] == "the weights of rank 1 are not those of rank 0"
        assert not found["written"]
    assert "missing" in zero["refusal"]
    assert zero["refusal"] == one["refusal"]
