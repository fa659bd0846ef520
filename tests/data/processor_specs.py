"""Specs and rows that the tests of the processor share."""

TAGGING = {
    "features": {
        "words": {"column": "tokens", "kind": "tokens"},
        "tail": {"column": "tokens", "kind": "tokens", "transform": "suffix:2"},
        "shape": {"column": "tokens", "kind": "tokens", "transform": "shape"},
    },
    "target": {"column": "tags", "kind": "tags"},
}
SENTENCES = [
    {"tokens": ["The", "dog", "barked"], "tags": ["D", "N", "V"]},
    {"tokens": ["Dogs", "bark"], "tags": ["N", "V"]},
]
SPEAKING = {
    "features": {"text": {"column": "word", "tokenizer": "chars"}},
    "target": {
        "column": "phonemes", "kind": "text", "tokenizer": "words", "references": "references",
    },
}  # fmt: skip
WORDS = [
    {"word": "tomato", "phonemes": "T AH M EY T OW", "references": ["T AH M EY T OW"]},
    {"word": "to", "phonemes": "T UW", "references": ["T UW", "T AH"]},
]


def spec_of(kind, **options):
    return {
        "features": {"x": {"column": "x", "kind": "numeric", **options}},
        "target": {"column": "y", "kind": kind},
    }
