import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqlab.data.order import WINDOW_BATCHES, evaluation_batches, held_out, subset, training_batches


def lengths(count, seed=1):
    return np.random.default_rng(seed).integers(1, 90, size=count)


@given(st.integers(1, 400), st.integers(1, 9), st.booleans(), st.integers(0, 5), st.integers(0, 3))
def test_every_row_comes_once_in_full_batches(count, batch_size, bucket, seed, epoch):
    keys = lengths(count)
    batches = training_batches(keys, batch_size, bucket=bucket, seed=seed, epoch=epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(count))
    sizes = sorted((len(batch) for batch in batches), reverse=True)
    assert set(sizes[:-1]) <= {batch_size}
    assert len(batches) == -(-count // batch_size)


@pytest.mark.parametrize("bucket", [False, True])
def test_the_order_is_a_function_of_seed_and_epoch(bucket):
    def order(seed, epoch):
        keys = lengths(300)
        return [
            b.tolist() for b in training_batches(keys, 7, bucket=bucket, seed=seed, epoch=epoch)
        ]

    assert order(3, 4) == order(3, 4)
    assert len({str(order(s, e)) for s in range(3) for e in range(3)}) == 9


def test_bucketing_saves_padding_and_still_shuffles():
    keys = lengths(4000)

    def padded(batches):
        return sum(len(batch) * keys[batch].max() for batch in batches)

    bucketed = training_batches(keys, 16, bucket=True, seed=0, epoch=0)
    plain = training_batches(keys, 16, bucket=False, seed=0, epoch=0)
    assert padded(bucketed) < 1.1 * keys.sum() < 1.5 * keys.sum() < padded(plain)
    means = np.array([keys[batch].mean() for batch in bucketed])
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.3
    window = set(np.concatenate(bucketed)[: 16 * WINDOW_BATCHES].tolist())
    assert len(window & set(range(16 * WINDOW_BATCHES))) < 400


def test_evaluation_is_in_order_or_by_length():
    keys = np.array([5, 1, 3, 1])
    assert [b.tolist() for b in evaluation_batches(keys, 3, bucket=False)] == [[0, 1, 2], [3]]
    assert [b.tolist() for b in evaluation_batches(keys, 3, bucket=True)] == [[1, 3, 2], [0]]


def test_subsets_and_held_out_rows_are_fixed_by_their_seed():
    assert subset(5, None, 0).tolist() == [0, 1, 2, 3, 4] == subset(5, 9, 0).tolist()
    chosen = subset(100, 10, 0)
    assert len(set(chosen.tolist())) == 10
    assert chosen.tolist() == sorted(chosen.tolist()) == subset(100, 10, 0).tolist()
    assert chosen.tolist() != subset(100, 10, 1).tolist()
    assert held_out(200, 0.1, 0).sum() == 20
    assert held_out(3, 0.01, 0).sum() == 1


def test_rows_held_out_have_their_share_of_each_class():
    names = ["a"] * 60 + ["b"] * 30 + ["c"] * 10
    drawn = np.random.default_rng(1).permutation(names).tolist()
    chosen = held_out(100, 0.1, 0, drawn)
    kept = [name for name, out in zip(drawn, chosen, strict=True) if out]
    assert sorted(kept) == ["a"] * 6 + ["b"] * 3 + ["c"]
    assert (held_out(100, 0.1, 0, drawn) == chosen).all()
    assert (held_out(100, 0.1, 1, drawn) != chosen).any()
    # more classes than places
    assert held_out(50, 0.04, 0, [str(row) for row in range(50)]).sum() == 2
