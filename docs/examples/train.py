"""Teach a network to drive as a planner does, in a training loop of one's own around ``DistributedTrainer``.

The planner sees where everything is and where it goes; the network sees the lidar alone, and learns from the planner's
answers (behaviour cloning). At the end both drive in worlds that neither has seen.

    python docs/examples/train.py                                      # on a GPU where there is one, else the CPU
    python docs/examples/train.py --use-amp --batch-size 128           # mixed precision
    python docs/examples/train.py --multi-gpu                          # DataParallel over the GPUs of this process
    torchrun --nproc_per_node=2 docs/examples/train.py --distributed   # a process a GPU, or two on the CPU

The same command again goes on from the last epoch.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import robonav_ray as rn
from robonav_ray.planners.base import make_planner
from robonav_ray.worlds.vector_env import NavVectorEnv

NUM_WORLDS = 64


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--use-amp", action="store_true", help="mixed precision: bf16, or fp16 on older GPUs")
    parser.add_argument("--batch-size", type=int, default=128, help="rows of each process in a step (%(default)s)")
    parser.add_argument("--multi-gpu", action="store_true", help="share each batch out over the GPUs of this process")
    parser.add_argument("--distributed", action="store_true", help="average gradients over torchrun's processes")
    parser.add_argument("--accumulation", type=int, default=1, help="batches a step of the optimiser (%(default)s)")
    parser.add_argument("--epochs", type=int, default=10, help="times through all rows (%(default)s)")
    parser.add_argument("--rows", type=int, default=200_000, help="rows in all (%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of AdamW (%(default)s)")
    parser.add_argument("--teacher", default="orca", help="planner that is imitated (%(default)s; docs/planners.md)")
    parser.add_argument("--episodes", type=int, default=200, help="that both drive at the end; 0: none (%(default)s)")
    parser.add_argument("--checkpoint", type=Path, default=Path("imitation.safetensors"), help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of weights and worlds (%(default)s)")
    args = parser.parse_args()
    for name in ("batch_size", "accumulation", "epochs"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')}: must be at least 1")
    num_processes = int(os.environ.get("WORLD_SIZE", "1"))
    if args.rows < num_processes * max(args.batch_size * args.accumulation, NUM_WORLDS):
        parser.error(f"--rows {args.rows}: each process needs a step's, and one of each of {NUM_WORLDS} worlds")
    if args.distributed and args.multi_gpu:
        parser.error("--distributed has a process for each GPU, --multi-gpu one for all: take one of the two")
    if args.distributed != ("LOCAL_RANK" in os.environ):
        parser.error(
            "--distributed goes with torchrun: torchrun --nproc_per_node=2 docs/examples/train.py --distributed"
        )
    return args


def observe(teacher: str, num_rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return observations (N, D) float32 and the planner's actions (N,) int64 there."""
    envs = NavVectorEnv(NUM_WORLDS, levels={"num_dynamic": 7, "num_goals": 4, "max_steps": 400})
    planner = make_planner(teacher, envs.worlds)
    obs, _ = envs.reset(seed=seed)
    rng, seen, done = np.random.default_rng(seed), [], []
    for _ in range(num_rows // NUM_WORLDS):
        action = planner.act(obs)
        seen.append(obs.copy())
        done.append(action.astype(np.int64))
        strays = rng.random(NUM_WORLDS) < 0.1  # so that the network also sees where the planner itself never goes
        action = np.where(strays, rng.integers(0, envs.single_action_space.n, NUM_WORLDS), action)
        obs, *_ = envs.step(action)
    return torch.from_numpy(np.concatenate(seen)), torch.from_numpy(np.concatenate(done))


def drive(model: nn.Module, teacher: str, episodes: int) -> dict[str, float]:
    """Return the part of the held-out worlds in which each reaches all goals."""
    model = model.to("cpu").eval()

    def student(obs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(torch.from_numpy(obs)).argmax(1).numpy()

    results = rn.EvaluationSuite(scenarios=["quick"], episodes=episodes).run({"student": student, teacher: teacher})
    return {name: float(scenarios["full_challenge"]) for name, scenarios in results.success().items()}


def main() -> None:
    args = arguments()
    torch.manual_seed(args.seed)
    probe = NavVectorEnv(1)
    model = nn.Sequential(
        nn.Linear(probe.single_observation_space.shape[0], 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
        nn.Linear(256, int(probe.single_action_space.n)),
    )  # fmt: skip
    has_gpus = torch.cuda.device_count() > 1
    strategy = "ddp" if args.distributed else "dp" if args.multi_gpu and has_gpus else "none"
    with rn.DistributedTrainer(
        model=model, use_amp=args.use_amp, gradient_accumulation_steps=args.accumulation, strategy=strategy
    ) as trainer:
        if trainer.is_main_process:
            rn.DeviceManager.print_device_info()
            print(f"{trainer.world_size} process(es) on {trainer.device}, {strategy}, {trainer.precision}", flush=True)
            if args.multi_gpu and not has_gpus:
                print(f"--multi-gpu: this process sees {torch.cuda.device_count()} GPU(s), so nothing is shared out")
        train(trainer, model, args)
        if trainer.is_main_process and args.episodes:
            for name, success in drive(model, args.teacher, args.episodes).items():
                print(f"{name}: reaches all goals in {success:.1%} of {args.episodes} unseen worlds")


def train(trainer: rn.DistributedTrainer, model: nn.Module, args: argparse.Namespace) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
    first = trainer.load_checkpoint(args.checkpoint, optimizer, scheduler) + 1 if args.checkpoint.exists() else 0
    obs, action = observe(args.teacher, args.rows // trainer.world_size, args.seed + 1000 * trainer.rank)
    per_epoch = len(obs) // (args.batch_size * args.accumulation) * args.accumulation
    for epoch in range(first, args.epochs):
        order = torch.randperm(len(obs))
        losses = []
        for i in range(per_epoch):
            rows = order[i * args.batch_size : (i + 1) * args.batch_size]
            step = epoch * per_epoch + i
            losses.append(
                trainer.training_step((obs[rows], action[rows]), optimizer, nn.CrossEntropyLoss(), step)["loss"]
            )
        scheduler.step()
        trainer.save_checkpoint(args.checkpoint, epoch, optimizer, scheduler)
        if trainer.is_main_process:
            print(f"epoch {epoch + 1} of {args.epochs}: loss {np.mean(losses):.4f}", flush=True)


if __name__ == "__main__":
    main()
