"""Estimators take what programs hold sequences in, and fit where scikit-learn's own do."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
import seqlab
from seqlab.sklearn import SequenceClassifier, SequenceRegressor, SequenceTagger
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn.base import clone

SMALL = {"hidden_size": 6, "max_epochs": 2, "random_state": 0, "num_threads": 1}
WORDS = ["aba", "bab", "cdc", "dcd", "aab", "ddc"] * 6
LABELS = ["first", "first", "last", "last", "first", "last"] * 6


def series(count=30, width=2):
    draw = np.random.default_rng(0)
    return [draw.normal(size=(int(draw.integers(1, 7)), width)) for _ in range(count)]


@pytest.fixture(scope="module", name="words")
def _words():
    model = SequenceClassifier(**{**SMALL, "max_epochs": 15}, tokenizer="chars", lr=0.02)
    return model.fit(WORDS, LABELS)


def test_words_are_learnt(words):
    assert words.predict(["abab", "cddc"]).tolist() == ["first", "last"]
    assert words.classes_.tolist() == ["first", "last"]
    assert words.score(WORDS, LABELS) == 1.0
    probabilities = words.predict_proba(WORDS)
    assert probabilities.shape == (36, 2)
    assert np.allclose(probabilities.sum(1), 1, atol=1e-6)


def test_it_is_kept(words, tmp_path):
    expected = words.predict_proba(WORDS)
    joblib.dump(words, tmp_path / "model.joblib")
    for copy in (joblib.load(tmp_path / "model.joblib"), pickle.loads(pickle.dumps(words))):  # noqa: S301
        assert np.array_equal(copy.predict_proba(WORDS), expected)
    words.save_bundle(tmp_path / "bundle")
    answers = seqlab.load(tmp_path / "bundle").predict(WORDS)
    assert np.array_equal([answer["scores"] for answer in answers], expected)


def test_a_seed_gives_the_same_weights_again(words):
    again = clone(words).fit(WORDS, LABELS)
    assert np.array_equal(again.predict_proba(WORDS), words.predict_proba(WORDS))
    other = clone(words).set_params(random_state=1).fit(WORDS, LABELS)
    assert not np.array_equal(other.predict_proba(WORDS), words.predict_proba(WORDS))


@pytest.mark.parametrize(
    "rows",
    [
        np.random.default_rng(0).normal(size=(30, 4, 2)),
        np.random.default_rng(0).normal(size=(30, 4)),
        series(),
        [one[:, 0] for one in series()],
        [one.tolist() for one in series()],
        pd.DataFrame({"a": [r[:, 0] for r in series()], "b c": [r[:, 1] for r in series()]}),
        pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)), columns=["t0", "t1", "t2"]),
        pd.Series([f"{'ab'[i % 2]} c" for i in range(30)]),
        [["a", "b"][: 1 + i % 2] for i in range(30)],
        np.array([f"word {i % 3}" for i in range(30)]),
    ],
    ids=["NTD", "NT", "TD", "T", "lists", "columns", "table", "strings", "tokens", "array of str"],
)  # fmt: skip
def test_what_rows_may_be(rows):
    numbers = np.arange(30.0)
    model = SequenceRegressor(**{**SMALL, "max_epochs": 1}).fit(rows, numbers)
    answers = model.predict(rows)
    assert answers.shape == (30,)
    some = rows.iloc[:3] if hasattr(rows, "iloc") else rows[:3]
    assert model.predict(some) == pytest.approx(answers[:3], abs=1e-4)


def test_labels_of_any_type():
    for labels in ([3, 11, 2], [True, False, True], ["x", "10", "2"]):
        y = np.array(labels * 8)
        model = SequenceClassifier(**SMALL).fit(series(24), y)
        assert model.classes_.tolist() == sorted(set(labels))
        assert set(model.predict(series(24)).tolist()) <= set(labels)
        assert model.predict_proba(series(24)).argmax(1).tolist() == [
            model.classes_.tolist().index(label) for label in model.predict(series(24)).tolist()
        ]


def test_probabilities_stand_in_the_order_of_the_classes():
    """Twelve classes: as words, '10' comes before '2'."""
    rows = [[f"w{i % 12}"] for i in range(96)]
    y = np.arange(96) % 12
    model = SequenceClassifier(**{**SMALL, "max_epochs": 40}, lr=0.05, validation_fraction=None)
    assert model.fit(rows, y).score(rows, y) == 1.0


def test_several_numbers_a_row():
    y = np.stack([[one.sum(), one.mean()] for one in series()])
    model = SequenceRegressor(**SMALL).fit(series(), y)
    assert model.predict(series(5)).shape == (5, 2)


def test_a_tagger_in_a_cross_validation():
    rows = [["the", "dog"], ["a", "cat", "sleeps"], ["dogs"], ["the", "cat"]] * 8
    tags = [["D", "N"], ["D", "N", "V"], ["N"], ["D", "N"]] * 8
    model = SequenceTagger(**{**SMALL, "max_epochs": 12}, lr=0.05, head={"crf": True})
    assert cross_val_score(model, rows, tags, cv=2).tolist() == [1.0, 1.0]
    model.fit(rows, [[len(tag) for tag in row] for row in tags])
    assert model.predict([["the", "dog"]]) == [[1, 1]]


def test_in_a_pipeline_and_a_grid(words):
    upper = FunctionTransformer(lambda rows: [row.lower() for row in rows])
    model = make_pipeline(upper, SequenceClassifier(**SMALL, tokenizer="chars"))
    grid = {"sequenceclassifier__cell": ["gru", {"name": "rnn", "recurrent_dropout": 0.1}]}
    search = GridSearchCV(model, grid, cv=2).fit([word.upper() for word in WORDS], LABELS)
    assert search.best_estimator_.predict(["ABA"])[0] in words.classes_
    specs = [search.best_estimator_[-1].trained_.config["encoder"]["cell"]["name"]]
    assert specs[0] in ("gru", "rnn")


def test_options_reach_the_run():
    model = SequenceClassifier(
        **SMALL, num_layers=2, options={"data.bucket": False, "trainer.max_steps": 1}
    )
    config = model.fit(series(24), [0, 1] * 12).trained_.config
    assert config["data"]["bucket"] is False
    assert [part["name"] for part in config["encoder"]["wrappers"]] == ["bidirectional", "stacked"]


@pytest.mark.parametrize(
    ("model", "rows", "y", "said"),
    [
        (SequenceClassifier(), ["a", "b"], ["x", "x"], "1 class"),
        (SequenceClassifier(), ["a", "b"], ["x"], "inconsistent numbers of samples"),
        (SequenceClassifier(), ["a"], None, "requires y"),
        (SequenceClassifier(), [3, "a"], [0, 1], "row 0: a int"),
        (SequenceClassifier(cell="lstn"), ["a", "b"], [0, 1], "did you mean 'lstm'"),
        (SequenceClassifier(batch_size=0), ["a", "b"], [0, 1], "batch_size: expected an int"),
        (SequenceClassifier(options={"seed.x": 1}), ["a", "b"], [0, 1], "seed.x: there is no"),
        (SequenceRegressor(), [[1.0], [np.nan, 2.0]], [0, 1], "row 1 contains NaN"),
        (SequenceTagger(), [["a"]], ["N"], "y: row 0: expected a list"),
        (SequenceTagger(), [["a", "b"]], [["N"]], "row 0"),
    ],
)
def test_mistakes(model, rows, y, said):
    with pytest.raises(Exception, match=said) as caught:
        model.fit(rows, y)
    assert isinstance(caught.value, ValueError | seqlab.SeqlabError)


def test_rows_of_another_form_are_refused(words):
    with pytest.raises(ValueError, match=r"expected the columns x \(text\), got x \(tokens\)"):
        words.predict([["a", "b"]])
    model = SequenceRegressor(**{**SMALL, "max_epochs": 1}).fit(np.ones((6, 3, 2)), np.arange(6.0))
    with pytest.raises(ValueError, match="X has 3 features, but SequenceRegressor is expecting 2"):
        model.predict(np.ones((6, 3, 3)))


#: All rows in one batch, in double precision, scaled by nothing that is learnt of rows.
WHOLE = {**SMALL, "validation_fraction": None, "batch_size": 512}
DOUBLE = {"trainer.precision": "64-true"}


def test_a_weight_is_a_number_of_rows():
    counts = np.random.default_rng(1).integers(0, 4, len(WORDS))
    model = SequenceClassifier(**WHOLE, tokenizer="chars", options=DOUBLE)
    repeated = [np.repeat(np.array(of), counts) for of in (WORDS, LABELS)]
    expected = clone(model).fit(*repeated).predict_proba(WORDS)
    weighted = clone(model).fit(WORDS, LABELS, sample_weight=counts).predict_proba(WORDS)
    np.testing.assert_allclose(weighted, expected, rtol=1e-8)
    plain = clone(model).fit(WORDS, LABELS).predict_proba(WORDS)
    assert not np.allclose(plain, expected, rtol=1e-3)


def test_weights_pull_numbers():
    rows = np.zeros((40, 3))
    numbers = np.tile([0.0, 1.0], 20)
    model = SequenceRegressor(**{**WHOLE, "max_epochs": 40}, lr=0.1)
    answers = [
        clone(model).fit(rows, numbers, sample_weight=weights).predict(rows[:1])[0]
        for weights in (None, np.tile([1.0, 3.0], 20), np.tile([1.0, 0.0], 20))
    ]
    # the best constant is the weighted mean
    assert answers == pytest.approx([0.5, 0.75, 0.0], abs=0.02)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ([1.0, 2.0], r"expected 36 numbers, got shape \(2,\)"),
        (np.ones((36, 1)), r"expected 36 numbers"),
        ([-1.0] + [1.0] * 35, "row 0: expected 0 or more, got -1"),
        ([1.0] * 35 + [float("nan")], "row 35: expected 0 or more, got nan"),
        (np.zeros(36), "all weights are zero"),
        ([float(label == "first") for label in LABELS], "y has 1 class"),
    ],
)
def test_what_is_no_weight(weights, said):
    with pytest.raises(ValueError, match=said):
        SequenceClassifier(**SMALL).fit(WORDS, LABELS, sample_weight=weights)


def test_weights_under_a_head_that_knows_none():
    with pytest.raises(ValueError, match="the loss of head 'tagging' knows no weights"):
        SequenceTagger(**SMALL)._fit(*_tagged(), {"kind": "tags"}, {"name": "tagging"}, np.ones(2))


def _tagged():
    from seqlab.sklearn.inputs import read_inputs

    return read_inputs(SequenceTagger(), [["a", "b"], ["b"]], reset=True), [["x", "y"], ["y"]]


def test_several_labels_a_row():
    flags = np.array([["a" in word, "c" in word, "d" in word] for word in WORDS]).astype(int)
    model = SequenceClassifier(**{**SMALL, "max_epochs": 20}, tokenizer="chars", lr=0.03)
    model.fit(WORDS, flags)
    assert model.predict(WORDS).tolist() == flags.tolist()
    probabilities = model.predict_proba(WORDS)
    assert probabilities.shape == flags.shape
    assert model.classes_.tolist() == [0, 1, 2]
    assert model.score(WORDS, flags) == 1.0


def test_a_label_of_no_row_has_no_probability():
    flags = np.array([["a" in word, False, "c" in word] for word in WORDS]).astype(int)
    model = SequenceClassifier(**SMALL, tokenizer="chars").fit(WORDS, flags)
    assert model.predict_proba(WORDS)[:, 1].tolist() == [0.0] * len(WORDS)
    with pytest.raises(ValueError, match="y: 1 of its 2 classes apply"):
        SequenceClassifier(**SMALL).fit(WORDS, flags[:, :2])
