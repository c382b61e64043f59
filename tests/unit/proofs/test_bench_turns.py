"""Two runs go on in turns, and the ratios of their times have an interval."""

from __future__ import annotations

from proofs.bench.turns import MIN_TURNS, ratio_figures, time_ratios


def test_turns_change_who_begins_and_the_first_two_are_not_measured() -> None:
    calls = list[tuple[str, int]]()

    def run(name: str, seconds: float):
        def advance(env_steps: int) -> float:
            calls.append((name, env_steps))
            return seconds * (100.0 if env_steps <= 20 and name == "other" else 1.0)

        return advance

    ratios = time_ratios(run("plain", 2.0), run("other", 3.0), MIN_TURNS, 10)
    assert ratios == [1.5] * MIN_TURNS
    assert calls[:4] == [("other", 10), ("plain", 10), ("plain", 20), ("other", 20)]
    assert calls[-1][1] == 10 * (MIN_TURNS + 2)
    assert ratio_figures("r", ratios) == {
        "r_median": 1.5, "r_median_interval": [1.5, 1.5], "r_quartiles": [1.5, 1.5]
    }  # fmt: skip
