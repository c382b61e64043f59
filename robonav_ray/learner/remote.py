"""The learner as a Ray Train ``TorchTrainer``: every Train worker is one rank and runs the plain loop of ``loop.py``.

::

    driver --start_learner--> thread: TorchTrainer.fit() --> controller --> rank 0 .. N-1: train_loop -> LearnerLoop.run
           <--LearnerHandle.error, is_alive, join--

What fit() waits for: the ranks to start (bounded by ``RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S``, then retried as often
as ``controller_failure_limit`` allows) and the loop to end, which the mailbox's ``stop`` brings about. A rank that dies
takes the others down with it; Train starts all of them again, up to ``max_restarts`` times, and they take up the last
*committed* checkpoint.

Our checkpoints are the only truth. What ``ray.train.report`` gets is a directory that holds nothing but the path of
one, so that Train's own retention, upload and restart machinery works and no weight is stored twice. Train hears of a
report only when it next polls, and forgets one whose rank died before that: so rank 0 first writes the path beside
Train's notes, and a restart reads it there.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robonav_ray.algo.structure import Structure
from robonav_ray.config.algo import AlgoConfig
from robonav_ray.config.learner import LearnerConfig
from robonav_ray.errors import UserError
from robonav_ray.files.plain_files import open_appending, replace
from robonav_ray.interfaces import CommandChannel, PrioritySink, RankSource, WeightExchange
from robonav_ray.learner.pointer import (
    committed_pointer,
    last_committed,
    raise_what_ended,
    write_committed,
    write_ended,
)
from robonav_ray.learner.trainer_remote import lean_trainer_class, read_failures
from robonav_ray.part_names import GROUPS_SUFFIX
from robonav_ray.records import TransitionSpec

POINTER_FILE = "robonav_checkpoint.json"
CONTROLLER_FAILURES = 3
RANK_MEMORY_BYTES = 1_000_000.0

TRAIN_ENVIRONMENT = {
    # Seconds between two polls of the ranks: how late a death, a report or the end is noticed (Ray's default is 2).
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # Seconds without an answer after which a rank counts as dead (Ray's default is 600): frozen, or on a node that is
    # cut off.
    "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": "10",
    # One process less; a preempted node is noticed like any other that dies.
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    # We print nothing in the ranks, so print need not be patched.
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
}


@dataclass(frozen=True)
class LearnerOrder:
    """All that a rank needs to begin; picklable, and small enough to travel with the training function."""

    algo: AlgoConfig
    learner: LearnerConfig
    spec: TransitionSpec
    obs_dim: int
    num_actions: int
    seed: int
    """Of the fresh network (already derived for its role)."""
    sources: tuple[RankSource, ...]
    """One per rank."""
    priorities: PrioritySink
    weights: WeightExchange
    commands: CommandChannel
    device: str = "cpu"
    """``cpu`` or ``cuda``, decided by who knows the cluster."""
    structure: Structure | None = None
    """The ring or the set in the observations, where there is one."""
    resume_from: str | None = None
    """What ``LearnerState.save`` wrote, a path or a URI; None begins afresh."""
    dump_directory: str | None = None
    """Where a batch is kept that ends the run, on storage that every node and the driver see; None for nowhere."""


def train_loop(config: dict[str, Any]) -> None:
    """Run one rank until it is told to stop; ``config["order"]`` is a LearnerOrder.

    What trying again would not mend (numbers that are not finite, a device that cannot do what is asked) is written
    down for the driver and ends the ranks as if they had been told to stop, so that Train does not start them again.
    """
    import ray.train

    try:
        _run_rank(config["order"], config["pointer"])
    except (FloatingPointError, UserError) as error:  # raised by all ranks alike
        if ray.train.get_context().get_world_rank() == 0:
            kind = "user" if isinstance(error, UserError) else "numbers"
            write_ended(config["pointer"], kind, str(error))


def _run_rank(order: LearnerOrder, pointer: str) -> None:
    import ray.train

    from robonav_ray.learner.devices import pick_device_of_all, set_threads, share_interpreter
    from robonav_ray.learner.loop import LearnerLoop
    from robonav_ray.learner.ranks import OneRank, ProcessGroupRanks
    from robonav_ray.learner.state import LearnerState

    context = ray.train.get_context()
    set_threads(order.learner.torch_threads)
    share_interpreter()
    ranks = ProcessGroupRanks() if context.get_world_size() > 1 else OneRank()
    device = pick_device_of_all(order.learner, order.device, context.get_local_rank(), ranks)
    state = LearnerState(
        order.obs_dim, order.num_actions, order.algo, order.learner, order.seed, device, order.structure
    )
    take_up(state, order, ranks, last_committed(pointer))
    source = order.sources[ranks.rank]
    loop = LearnerLoop(
        state,
        order.algo,
        order.learner,
        order.spec,
        source=source,
        priorities=order.priorities,
        weights=order.weights,
        commands=order.commands,
        ranks=ranks,
        model=data_parallel(state) if ranks.world_size > 1 else None,
        on_committed=lambda path: report_committed(path, pointer),
        dump_directory=Path(order.dump_directory) if order.dump_directory is not None else None,
    )
    try:
        loop.run()
        ranks.barrier()  # no rank leaves the group while another is still in its last collective
    finally:
        source.close()


def data_parallel(state: Any) -> Any:
    """Return the online network wrapped so that gradients are averaged over ranks."""
    from robonav_ray.learner.parallel import average_over_ranks

    return average_over_ranks(state.online, state.device)


def take_up(state: Any, order: LearnerOrder, ranks: Any, committed: str | None) -> None:
    """Load the last ``committed`` checkpoint after a restart, else ``resume_from``, else keep the fresh state.

    Rank 0 decides what was committed. The policy version continues from the weight store, so that it never falls
    however old the checkpoint is.
    """
    from robonav_ray.learner.command_handler import load_shared

    committed = ranks.broadcast(committed)
    if committed is not None:
        load_shared(state, committed, ranks, take_overrides=True)
    elif order.resume_from is not None:
        load_shared(state, order.resume_from, ranks)
    if ranks.rank == 0:
        newest = order.weights.wait_newer_than(state.policy_version)
        if newest is not None:
            state.policy_version = newest.version
    state.policy_version = ranks.broadcast(state.policy_version)


def report_committed(path: str, pointer: str) -> None:
    """Make ``path`` the checkpoint to restart from, and tell Train; every rank must call it.

    Raises:
        OSError: On rank 0, when the pointer cannot be written; the others are not kept waiting for it.
    """
    import ray.train

    if ray.train.get_context().get_world_rank() != 0:
        ray.train.report({}, checkpoint=None)
        return
    with contextlib.ExitStack() as exits:
        try:
            directory = exits.enter_context(tempfile.TemporaryDirectory(prefix="robonav-pointer-"))
            replace(Path(directory) / POINTER_FILE, json.dumps({"path": path}))
            write_committed(pointer, path)
        except OSError:
            ray.train.report({}, checkpoint=None)  # a barrier: the other ranks stand in it
            raise
        ray.train.report({}, checkpoint=ray.train.Checkpoint.from_directory(directory))


class LearnerHandle:
    """A learner that runs, or has ended."""

    def __init__(
        self, fit: Callable[[], None], kill: Callable[[], None] = lambda: None, failures: Callable[[], list[str]] = list
    ) -> None:
        """Call ``fit`` in a daemon thread; ``kill`` ends what it has started, ``failures`` tells how often ranks have
        failed, and why.
        """
        self.failures = failures
        self._error: BaseException | None = None
        self._kill = kill
        self._thread = threading.Thread(target=self._run, args=(fit,), name="learner-fit", daemon=True)
        self._thread.start()

    @property
    def error(self) -> BaseException | None:
        """What ended the learner; None while it runs and after it stopped as told."""
        return self._error

    @property
    def is_alive(self) -> bool:
        """Whether fit() has not returned yet."""
        return self._thread.is_alive()

    def join(self, timeout: float | None = None) -> bool:
        """Wait until fit() has returned; False when it had not within ``timeout`` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def kill(self) -> None:
        """End Train's controller and with it all ranks, at once; for a learner that does not stop as told."""
        self._kill()

    def ended_because(self) -> str | None:
        """Return why the learner is gone in one line, None while it runs."""
        if self._thread.is_alive():
            return None
        return "the learner has stopped" if self._error is None else f"the learner failed: {self._error}"

    def _run(self, fit: Callable[[], None]) -> None:
        try:
            fit()
        except BaseException as error:  # noqa: BLE001  the thread's only way to hand on what ended it; the runtime raises it
            self._error = error


def make_trainer(
    order: LearnerOrder,
    *,
    num_ranks: int,
    cpus_per_rank: float,
    gpus_per_rank: float,
    run_name: str,
    storage_path: str,
    max_restarts: int,
    notes: str | None = None,
    controllers: list[Any] | None = None,
) -> Any:
    """Return the trainer; ``num_ranks`` 0 makes fit() run one rank in this very process, for tests.

    Train's own messages go to files only (``SESSION/logs/train/``, all levels); errors still reach the terminal.

    One rank on a CPU forms no process group: for it TorchTrainer's base will do, so that neither this process nor the
    controller need import torch before the rank can start.
    """
    from ray import train
    from ray.train.v2.api.config import LoggingConfig

    folder = Path(notes or storage_path).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    groups = folder / f"{run_name}{GROUPS_SUFFIX}"
    open_appending(groups).close()
    use_gpu = gpus_per_rank > 0.0
    base: Any
    if num_ranks <= 1 and not use_gpu:
        from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer as base
    else:
        from ray.train.torch import TorchTrainer as base
    return lean_trainer_class(base, groups, [] if controllers is None else controllers)(
        train_loop,
        train_loop_config={"order": order, "pointer": committed_pointer(storage_path, run_name)},
        scaling_config=train.ScalingConfig(
            num_workers=num_ranks,
            use_gpu=use_gpu,
            resources_per_worker=rank_resources(cpus_per_rank, gpus_per_rank),
        ),
        run_config=train.RunConfig(
            name=run_name,
            storage_path=storage_path,
            failure_config=train.FailureConfig(max_failures=max_restarts, controller_failure_limit=CONTROLLER_FAILURES),
            checkpoint_config=train.CheckpointConfig(num_to_keep=2),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )


def rank_resources(cpus: float, gpus: float) -> dict[str, float]:
    """Return what a rank reserves of Ray: CPUs and GPUs; a little memory where another actor reserves its CPUs."""
    reserved = {"CPU": cpus, "GPU": gpus}
    return {name: amount for name, amount in reserved.items() if amount > 0.0} or {"memory": RANK_MEMORY_BYTES}


def start_learner(
    order: LearnerOrder,
    *,
    run_name: str,
    storage_path: str,
    notes: str | None = None,
    num_ranks: int = 1,
    cpus_per_rank: float = 1.0,
    gpus_per_rank: float = 0.0,
    max_restarts: int = 3,
    start_timeout_s: float = 60.0,
) -> LearnerHandle:
    """Start the learner and return at once; importing Train and torch happens in the background thread.

    Args:
        order: Clients and config; picklable.
        run_name: Must never have been used under ``storage_path``: Train would silently resume the old run.
        storage_path: Where Train keeps its notes (a few kB), a path or a URI; shared by all nodes that may hold rank 0.
        notes: Folder on this machine for what the driver notes of Train; ``storage_path`` where that is one.
        num_ranks: DDP ranks.
        cpus_per_rank: CPUs that each reserves; 0 where the caller has reserved them itself.
        gpus_per_rank: GPUs that each reserves (a fraction shares one with others); above 0 means NCCL.
        max_restarts: How often a failed group of ranks is started again.
        start_timeout_s: How long the ranks' resources may take to become free before Train tries anew.

    Raises:
        ValueError: When ``run_name`` has been used, or ``order`` has not one source per rank.
    """
    if len(order.sources) != max(num_ranks, 1):
        raise ValueError(f"{len(order.sources)} batch sources for {num_ranks} ranks; there must be one for each")
    if (Path(storage_path) / run_name).exists():
        raise ValueError(
            f"{Path(storage_path) / run_name} exists: Train would resume it; choose a run_name that was never used"
        )
    for key, value in {**TRAIN_ENVIRONMENT, "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": str(start_timeout_s)}.items():
        os.environ.setdefault(key, value)

    controllers: list[Any] = []

    def kill() -> None:
        import ray

        for controller in controllers:
            ray.kill(controller)

    def fit() -> None:
        make_trainer(
            order,
            num_ranks=num_ranks,
            cpus_per_rank=cpus_per_rank,
            gpus_per_rank=gpus_per_rank,
            run_name=run_name,
            storage_path=storage_path,
            max_restarts=max_restarts,
            notes=notes,
            controllers=controllers,
        ).fit()
        raise_what_ended(committed_pointer(storage_path, run_name))

    return LearnerHandle(
        fit, kill, lambda: read_failures(Path(notes or storage_path).absolute() / f"{run_name}{GROUPS_SUFFIX}")
    )
