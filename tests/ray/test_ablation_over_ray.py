"""An ablation whose trainings run side by side over Ray comes to what one after the other comes to, and goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import robonav_ray as rn
from tests.unit.tuning.test_ablation import BITS

pytestmark = pytest.mark.ray


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_side_by_side_it_is_what_one_after_the_other_is(ray_session: None, tmp_path: Path) -> None:
    beside = rn.ablate(BITS, out=tmp_path / "beside", quiet=True)
    assert (beside.status, beside.failures) == ("finished", ())
    rows = {row.switch: row for row in beside.table.rows}
    assert rows.keys() == {"whole", "dueling", "priorities"}
    assert all(row.seeds == (0, 1) and len(row.success) == 2 for row in rows.values())
    lines = (tmp_path / "beside" / "results.jsonl").read_text().splitlines()
    assert len(lines) == 6
    assert (tmp_path / "beside" / "ablation.png").read_bytes()[:4] == b"\x89PNG"
    assert "dueling" in (tmp_path / "beside" / "ablation.md").read_text()

    here = rn.ablate(BITS, local=True, out=tmp_path / "here", quiet=True)
    assert {row.switch: row.success for row in here.table.rows} == {s: row.success for s, row in rows.items()}

    (tmp_path / "beside" / "results.jsonl").write_text("".join(f"{line}\n" for line in lines[:-1]))
    again = rn.ablate(BITS, out=tmp_path / "beside", quiet=True)
    assert again.table == beside.table, "what is missing is trained again, and nothing else"
    added = (tmp_path / "beside" / "results.jsonl").read_text().splitlines()
    assert added[:-1] == lines[:-1]
    assert json.loads(added[-1])["arm"] == json.loads(lines[-1])["arm"]
