from __future__ import annotations

import itertools
import re

import pytest
from seqlab.errors import OptionError
from seqlab.heads.schemes import chunk_labels, scheme_constraints

# each scheme's sentences as a regular expression over letters: x y are types, case and letter tell
# the prefix; an oracle that knows nothing of pairs of labels
NAMES = {
    "iob1": ["O", "B-x", "I-x", "B-y", "I-y"],
    "iob2": ["O", "B-x", "I-x", "B-y", "I-y"],
    "bioes": ["O", "B-x", "I-x", "E-x", "S-x", "B-y", "I-y", "E-y", "S-y"],
    "bilou": ["O", "B-x", "I-x", "L-x", "U-x", "B-y", "I-y", "L-y", "U-y"],
}
SENTENCE = {
    "iob1": "(O|(I-{t})+(B-{t}(I-{t})*)*)",
    "iob2": "(O|B-{t}(I-{t})*)",
    "bioes": "(O|S-{t}|B-{t}(I-{t})*E-{t})",
    "bilou": "(O|U-{t}|B-{t}(I-{t})*L-{t})",
}


def lawful(scheme, labels):
    either = "|".join(SENTENCE[scheme].format(t=t) for t in "xy")
    return re.fullmatch(f"({either})*", "".join(labels)) is not None


@pytest.mark.parametrize("scheme", NAMES)
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_constraints_allow_exactly_the_sentences_of_the_scheme(scheme, length):
    names = NAMES[scheme]
    start, end, transitions = scheme_constraints(scheme, names)
    size = range(len(names))
    seen = set()
    for ids in itertools.product(size, repeat=length):
        allowed = bool(start[ids[0]]) and bool(end[ids[-1]])
        allowed = allowed and all(bool(transitions[a, b]) for a, b in itertools.pairwise(ids))
        expected = lawful(scheme, [names[i] for i in ids])
        assert allowed == expected, [names[i] for i in ids]
        seen.add(expected)
    assert seen == {True, False}


@pytest.mark.parametrize(("alias", "scheme"), [("bio", "iob2"), ("IOBES", "bioes")])
def test_aliases(alias, scheme):
    for ours, theirs in zip(
        scheme_constraints(alias, NAMES[scheme]),
        scheme_constraints(scheme, NAMES[scheme]),
        strict=True,
    ):
        assert ours.equal(theirs)


def test_an_unknown_scheme_names_the_nearest():
    with pytest.raises(OptionError, match="unknown scheme 'iob3': did you mean 'iob"):
        scheme_constraints("iob3", ["O", "B-x"])


def test_labels_of_which_no_row_keeps_to_the_scheme_are_refused():
    """Rows of I- labels alone are iob1; under iob2 whatever is predicted would break it."""
    with pytest.raises(OptionError, match="under iob2 none of the labels I-x, I-y may begin a row"):
        scheme_constraints("iob2", ["I-x", "I-y"])
    with pytest.raises(OptionError, match="under bioes none of the labels B-x, I-x may end a row"):
        scheme_constraints("bioes", ["B-x", "I-x"])
    assert bool(scheme_constraints("iob1", ["I-x", "I-y"]).transitions.all())


def test_a_label_outside_of_the_scheme_is_named():
    with pytest.raises(OptionError, match="label 'E-x' does not belong to iob2"):
        scheme_constraints("iob2", ["O", "B-x", "E-x"])


@pytest.mark.parametrize(
    "names", [["NOUN", "VERB"], ["O"], ["O", "X-PER"], ["B-"], ["OO", "B-x"], []]
)
def test_other_labels_are_no_chunk_labels(names):
    assert chunk_labels(names) is None


def test_types_may_hold_hyphens_and_prefixes_may_stand_alone():
    assert chunk_labels(["O", "B-a-b", "I", "U-z", "L"]) == [
        ("O", ""),
        ("B", "a-b"),
        ("I", ""),
        ("S", "z"),
        ("E", ""),
    ]
