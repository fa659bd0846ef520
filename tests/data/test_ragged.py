import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from seqlab.data.ragged import Ragged

ROWS = st.lists(st.lists(st.integers(1, 99), max_size=6), min_size=1, max_size=8)


@given(ROWS, st.data())
def test_padding_gives_back_every_row_and_zeros(rows, data):
    ragged = Ragged.from_ids(rows)
    picked = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=5))
    padded = ragged.pad(np.array(picked, dtype=np.int64))
    steps = max((len(rows[i]) for i in picked), default=0)
    assert padded.shape == (len(picked), steps)
    for got, index in zip(padded.tolist(), picked, strict=True):
        assert got == rows[index] + [0] * (steps - len(rows[index]))


@given(ROWS, st.integers(1, 7))
def test_truncation_cuts_every_row(rows, limit):
    cut = Ragged.from_ids(rows).truncate(limit)
    assert [cut.row(i).tolist() for i in range(len(cut))] == [row[:limit] for row in rows]


@given(ROWS, ROWS)
def test_concatenation_keeps_rows(first, second):
    both = Ragged.concatenate([Ragged.from_ids(first), Ragged.from_ids(second)])
    assert [both.row(i).tolist() for i in range(len(both))] == first + second


def test_channels_are_padded_step_by_step():
    values = np.arange(10, dtype=np.float32).reshape(5, 2)
    ragged = Ragged.from_flat(values, [2, 0, 3])
    padded = ragged.pad(np.array([0, 2, 1]))
    assert padded.shape == (3, 3, 2)
    assert padded[0].tolist() == [[0, 1], [2, 3], [0, 0]]
    assert padded[1].tolist() == [[4, 5], [6, 7], [8, 9]]
    assert not padded[2].any()


def test_padding_does_not_touch_the_rows():
    ragged = Ragged.from_ids([[1], [2, 3]])
    ragged.pad(np.array([0, 1]))[:] = 9
    assert ragged.values.tolist() == [1, 2, 3]
