"""The page about a run: what it shows of each task, in its folder."""

import re

import pytest
from seqlab.pages import drawing
from seqlab.training.run import train

from small_runs import changed, pairs_spec, sentences_spec, series_spec, words_spec


def text_model(folder):
    text = {"column": "word", "kind": "text", "tokenizer": {"name": "chars"}}
    return changed(
        words_spec(folder),
        data={"features": {"text": text}, "target": {"kind": "inputs"}, "batch_size": 5},
        head={"name": "language_model"},
        encoder__wrappers=[],
    )


def page_of(make, folder, **changes):
    spec = changed(make(folder), trainer__max_epochs=2, report=True, **changes)
    train(spec, folder / "run")
    return (folder / "run" / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (
            words_spec,
            ["Confusion on the test rows", "Each class on the test rows", "most frequent"],
        ),
        (sentences_spec, ["B-PER", "Validation span_f1 by step"]),
        (pairs_spec, ["token_error_rate", "predicted"]),
        (series_spec, ["Predicted beside expected", "rmse"]),
        (text_model, ["Texts that the model wrote", "Kneser-Ney"]),
    ],
)
def test_a_run_leaves_a_page_of_its_task(make, shown, tmp_path, capsys):
    html = page_of(make, tmp_path)
    for text in ["Loss by step", "The training loss went from", "encoder.cell.name", *shown]:
        assert text in html, text
    assert str(tmp_path / "run" / "report.html") in capsys.readouterr().out
    assert not re.search(r'(src|href)="http', html)


def test_a_run_without_test_rows_or_matplotlib_has_its_page(tmp_path, monkeypatch):
    monkeypatch.setattr("seqlab.pages.page.can_draw", lambda: False)
    spec = words_spec(tmp_path)
    source = {key: value for key, value in spec["source"].items() if key != "test"}
    html = page_of(lambda _: {**spec, "source": source}, tmp_path, samples=0)
    assert "pip install" in html
    assert "on the validation rows" in html
    assert "<svg" not in html
    assert drawing.can_draw()


def test_a_page_can_be_left_out(tmp_path):
    train(changed(words_spec(tmp_path), trainer__max_epochs=1), tmp_path / "run")
    assert not (tmp_path / "run" / "report.html").exists()
