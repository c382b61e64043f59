"""All published results that are run again, in the order of the table."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from reproduction.entry import Command, Entry, Measure, Training

_CLEANRL = "CleanRL (Huang et al. 2022), docs/rl-algorithms"
_ZOO = "RL Baselines3 Zoo (Raffin 2020), benchmark.md"
_FIVE = (1, 2, 3, 4, 5)
_STD = "published mean minus one standard deviation"

CARTPOLE = (
    Entry(
        name="rllib_cartpole",
        group="cartpole",
        published="450 within 200 k env steps",
        source="RLlib 2.60, examples/algorithms/dqn/cartpole_dqn.py (its learning test)",
        bound="at least",
        threshold=450.0,
        tolerance="the stated threshold",
        task=Training("configs/reproduce/rllib_cartpole.yaml", Measure("best_training_window")),
        minutes=3,
        seeds=(1, 2, 3),
        level=450.0,
        setting="n = 3 where RLlib draws n from 2 to 5; ReLU where it has tanh",
    ),
    Entry(
        name="cleanrl_dqn_cartpole",
        group="cartpole",
        published="488.69 ± 16.11",
        source=f"{_CLEANRL}/dqn",
        bound="at least",
        threshold=488.69 - 16.11,
        tolerance=_STD,
        task=Training("configs/reproduce/cleanrl_dqn_cartpole.yaml", Measure("last_training_episodes")),
        minutes=3,
        seeds=(1, 2, 3),
        level=488.69,
    ),
    Entry(
        name="cleanrl_c51_cartpole",
        group="cartpole",
        published="481.20 ± 20.53",
        source=f"{_CLEANRL}/c51",
        bound="at least",
        threshold=481.20 - 20.53,
        tolerance=_STD,
        task=Training("configs/reproduce/cleanrl_c51_cartpole.yaml", Measure("last_training_episodes")),
        minutes=6,
        seeds=(1, 2, 3),
        level=481.20,
    ),
    Entry(
        name="zoo_dqn_cartpole",
        group="cartpole",
        published="500.00 ± 0.00 (one agent)",
        source=_ZOO,
        bound="at least",
        threshold=500.0,
        tolerance=f"{_STD}, which is 0",
        task=Training("configs/reproduce/zoo_dqn_cartpole.yaml", Measure("greedy_return")),
        minutes=1,
        seeds=_FIVE,
        level=500.0,
        statistic="median",
    ),
    Entry(
        name="zoo_qrdqn_cartpole",
        group="cartpole",
        published="500.00 ± 0.00 (one agent)",
        source=_ZOO,
        bound="at least",
        threshold=500.0,
        tolerance=f"{_STD}, which is 0",
        task=Training("configs/reproduce/zoo_qrdqn_cartpole.yaml", Measure("greedy_return")),
        minutes=1.5,
        seeds=_FIVE,
        level=500.0,
        statistic="median",
    ),
)

_HER = "Andrychowicz et al. 2017 (arXiv 1707.01495), section 3.1 and figure 1"
_BITS_HER, _BITS_PLAIN = (13, 15, 20, 25, 30), (20, 25, 30)


def _bit_flip(num_bits: int, hindsight: bool) -> Entry:
    overrides = (f"env.kwargs.num_bits={num_bits}", *_BUDGET, *(() if hindsight else ("hindsight.strategy=none",)))
    return Entry(
        name=f"her_bitflip_{num_bits}" if hindsight else f"dqn_bitflip_{num_bits}",
        group="her_bitflip",
        published=f"DQN with HER solves {num_bits} bits" if hindsight else f"DQN fails at {num_bits} bits",
        source=_HER,
        bound="at least" if hindsight else "at most",
        threshold=0.95 if hindsight else 0.05,
        tolerance="solved is at least 95 % of 200 episodes" if hindsight else "failing is at most 5 % of 200 episodes",
        task=Training("configs/run/bitflip.yaml", Measure("greedy_success"), overrides),
        minutes=1 if hindsight else 2,
        seeds=(1, 2, 3),
        unit="success",
        setting=f"{_SETTING}; at most 600 k env steps" + ("" if hindsight else ", as with HER"),
    )


_BUDGET = ("budget.max_env_steps=600_000", "curriculum.stages.0.gate.min_success_frac=1.0")
"""It also ends when all of the last 200 training episodes (of the less exploring half of the worlds) were won."""
_SETTING = "double Q-learning, 32 environments, batch and replay ratio of our own"
BIT_FLIP = (*(_bit_flip(n, True) for n in _BITS_HER), *(_bit_flip(n, False) for n in _BITS_PLAIN))

ENTRIES: tuple[Entry, ...] = (*CARTPOLE, *BIT_FLIP)


class UnknownEntryError(ValueError):
    """A name that is neither an entry nor a group; the message names the nearest."""


def chosen_entries(names: Sequence[str], entries: Sequence[Entry] = ENTRIES) -> list[Entry]:
    """Return the entries that ``names`` (of entries, of groups, or ``all``) stand for, each once, in the order of the table."""
    wanted: set[str] = set()
    groups = sorted({entry.group for entry in entries})
    for name in names:
        found = [entry.name for entry in entries if name in ("all", entry.name, entry.group)]
        if not found:
            known = [*(entry.name for entry in entries), *groups, "all"]
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise UnknownEntryError(f"there is no entry {name!r}; did you mean {near!r}? `reproduce.py list` shows all")
        wanted.update(found)
    return [entry for entry in entries if entry.name in wanted]


def with_seeds(entry: Entry, num_seeds: int | None) -> tuple[int, ...]:
    """Return the seeds to run: the entry's own, or 1 ... ``num_seeds``; a command judges itself once."""
    return entry.seeds if num_seeds is None or isinstance(entry.task, Command) else tuple(range(1, num_seeds + 1))
