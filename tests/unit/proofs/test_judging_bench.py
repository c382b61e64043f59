"""What judging costs is read off one run's figures."""

from __future__ import annotations

import pytest

from proofs.bench.judging import core_part, ratios


def test_each_judgement_is_held_against_the_pauses_beside_it() -> None:
    lines, steps = [], 0.0
    for time in range(120):  # from 20 on, 12 s of every 24 are judged; it learns 100 a second then and 125 else
        is_judged = time >= 20 and (time - 20) % 24 < 12
        steps += 100.0 if is_judged else 125.0
        lines.append({"time": float(time), "curriculum/passed": float(time >= 30), "learner/learner_step": steps})
        if time >= 20 and (time - 20) % 24 == 12:
            lines.append({"time": time + 0.1, "evaluation/judgement_s": 12.1, "evaluation/judgement_cpu_s": 0.24})
    assert ratios(lines) == pytest.approx([0.8, 0.8], abs=0.01)  # of 4: the first before it is passed, the last alone
    assert core_part(lines) == pytest.approx(4 * 0.24 / 119.0)
