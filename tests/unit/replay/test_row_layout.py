"""Do packed rows come back as the columns they were made of?"""

import numpy as np
import pytest

from robonav_ray.records import ColumnSpec, TransitionSpec
from robonav_ray.replay.row_layout import RowLayout

ODD = TransitionSpec(
    (ColumnSpec("image", "uint8", (3, 5)), ColumnSpec("action", "int32", ()), ColumnSpec("goal", "float64", (2,)))
)


@pytest.mark.parametrize("spec", [ODD, TransitionSpec.for_discrete((122,)), TransitionSpec.for_discrete((1,))])
@pytest.mark.parametrize("num", [0, 1, 7, 8, 9, 300])
def test_gather_and_spread_agree_with_fancy_indexing(spec: TransitionSpec, num: int) -> None:
    rng, layout = np.random.default_rng(num), RowLayout(spec)
    columns = tuple((rng.random((50, *c.shape)) * 100).astype(c.dtype) for c in spec.columns)
    rows = layout.allocate(50)
    layout.pack(columns, rows)
    assert rows.nbytes == 50 * spec.row_bytes
    for name, column in zip(spec.names, columns, strict=True):
        np.testing.assert_array_equal(rows[name], column)
    backwards = layout.allocate(50)
    layout.pack(tuple(column[::-1] for column in columns), backwards)
    np.testing.assert_array_equal(backwards, rows[::-1])
    source, target = rng.integers(0, 50, num), rng.permutation(num)
    gathered = layout.gather(rows, source)
    np.testing.assert_array_equal(gathered, rows[source])
    out = layout.empty_columns(num)
    layout.spread(rows, source, out, target)
    for got, column in zip(out, columns, strict=True):
        np.testing.assert_array_equal(got[target], column[source])


def test_nothing_is_touched_when_an_index_or_array_does_not_fit() -> None:
    layout = RowLayout(ODD)
    rows, out, i = layout.allocate(4), layout.empty_columns(4), np.arange(4)
    for source, target in ((i + 1, i), (i - 1, i), (i, i + 1), (i, i - 1), (i[:2], i)):
        with pytest.raises(ValueError, match=r"row index|source and target"):
            layout.spread(rows, source, out, target)
    with pytest.raises(ValueError, match="contiguous"):
        layout.spread(rows, i[:2], tuple(c[::2] for c in out), i[:2])
    with pytest.raises(ValueError, match="rows must be"):
        layout.gather(rows[::2], i[:1])
    with pytest.raises(ValueError, match="rows must be 4"):
        layout.pack(out, rows[:3])
    with pytest.raises(ValueError, match="expected"):
        layout.spread(rows, i, out[::-1], i)
