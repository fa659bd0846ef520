"""Word vectors from texts of one's own: positive pointwise mutual information, and its SVD.

    .venv/bin/python scripts/build_word_vectors.py reuters_r8 Text r8.txt

    ppmi(w, c) = max(0, log (n(w, c) N / (n(w) n'(c))))     n' = n^0.75, scaled to the same sum
    vector(w) = row w of U_d S_d^(1/2),  ppmi = U S V'

as Levy, Goldberg and Dagan (2015) have it. Words at most five apart are a pair, which counts
1 / distance. The texts are those of the training split of a source of seqlab-datasets, cut into
words as the feature ``text`` does it. The file is one for ``embedding.features.NAME.vectors``.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import yaml
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import svds
from seqlab.construct import construct
from seqlab.data.features.vocabulary import TextFeature
from seqlab.data.ragged import Ragged

SIZE, WINDOW, SMOOTHING, MARKS = 64, 5, 0.75, 2


def pair_counts(texts: Ragged, words: int) -> csr_array:
    """``[W, W]``: how often each word stands near each other, by 1 / distance."""
    row = np.repeat(np.arange(len(texts)), texts.lengths)
    counts = csr_array((words, words))
    for distance in range(1, WINDOW + 1):
        near = row[distance:] == row[:-distance]
        pair = texts.values[:-distance][near], texts.values[distance:][near]
        found = coo_array((np.full(len(pair[0]), 1 / distance), pair), shape=counts.shape)
        counts = counts + found.tocsr()
    # what is unknown, and padding, is no context
    known = diags_array((np.arange(words) >= MARKS).astype(float))
    return csr_array(known @ (counts + counts.T) @ known)


def ppmi(counts: csr_array) -> csr_array:
    """The matrix of the equation above."""
    total = counts.sum()
    word = np.maximum(counts.sum(1), 1e-12)
    context = counts.sum(0) ** SMOOTHING
    context = np.maximum(context * total / context.sum(), 1e-12)
    found = counts.tocoo()
    row, column = found.coords
    information = np.log(found.data * total / (word[row] * context[column]))
    return csr_array((np.maximum(information, 0.0), (row, column)), shape=counts.shape)


def main(source: str, column: str, output: str) -> None:
    """Write the vectors of a source's training texts."""
    spec = yaml.safe_load((files("seqlab_datasets") / f"conf/source/{source}.yaml").read_text())
    texts = construct("source", spec).load()["train"][column]
    feature = TextFeature("text", column)
    feature.fit(lambda: [(texts, "row {}".format)])
    ids, words = feature.encode(texts, "row {}".format), feature.tokenizer.size
    information = ppmi(pair_counts(ids, words))
    # from one start, so that a file is the same each time
    left, strength, _ = svds(information, SIZE, v0=np.ones(words), random_state=0)
    vectors = left * np.sqrt(strength)
    lines = [
        " ".join([feature.tokenizer.entry(index), *(f"{number:.5f}" for number in vectors[index])])
        for index in range(MARKS, words)
    ]
    Path(output).write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.stdout.write(
        f"{output}: {len(lines):,} words of {len(texts):,} texts, {SIZE} numbers each\n"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
