"""The tasks and cells of docs/which-cell.md, as words of `seqlab compare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: The first one's size is the measure for all others.
CELLS = ("lstm", "gru", "rnn", "min_gru", "mgu", "leaky_rnn")
_TOKENS = "data.features={symbols: {column: tokens, kind: tokens}}"
_MEMORY = (
    "source=memory_task", "source.rows=4000", "data.batch_size=50", "wrapper=none",
    "optimizer=adam", "optimizer.lr=0.01", "callbacks=no_early_stopping",
    "encoder.embedding.size=32", "trainer.max_epochs=null",
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """One comparison.

    Attributes:
        name: of its folder and of its row in the tables.
        title: what is to be learnt, for people.
        kind: the group of the page it stands in: `real` or `memory`.
        words: what all contestants have in common.
        decoder: hidden size of the decoder, of the same cell as the encoder and as wide for all,
            for attention and output grow with it; the encoder's size makes numbers of weights
            equal. None: the model has no decoder.
    """

    name: str
    title: str
    kind: str
    words: tuple[str, ...]
    decoder: int | None = None

    def command(self, data: Path, cells: tuple[str, ...] = CELLS) -> list[str]:
        """The words of `seqlab compare` for all contestants.

        Args:
            data: the folder that `which-cell prepare` filled.
            cells: who takes part.
        """
        words = [word.replace("DATA", str(data)) for word in self.words]
        if self.decoder is None:
            return [*words, f"cell={','.join(cells)}"]
        size = self.decoder
        each = [
            f"{name}: ['cell={name}', 'head.decoder.cell={{name: {name}, hidden_size: {size}}}']"
            for name in cells
        ]
        return [*words, f"contestants={{{', '.join(each)}}}"]


def _adding(length: int) -> Task:
    words = (
        f"source.length={length}", "source.task=adding", "data=series_values", "head=regression",
        "head.pooling=last", "encoder.input_layer={size: 32}", "cell.hidden_size=32",
        "trainer.max_steps=500",
    )  # fmt: skip
    title = f"the sum of the two marked numbers among {length}"
    return Task(f"adding_{length}", title, "memory", (*_MEMORY, *words))


def _copy(length: int) -> Task:
    words = (
        f"source.length={length}", "source.task=copy", _TOKENS, "head=tagging",
        "data.target={column: tags, kind: tags}", "head.metrics=[macro_f1]", "metric=macro_f1",
        "callbacks.checkpoint.monitor=macro_f1", "callbacks.checkpoint.mode=max",
        "cell.hidden_size=48", "trainer.max_steps=500",
    )  # fmt: skip
    title = f"five symbols, to be repeated after {length} blanks"
    return Task(f"copy_{length}", title, "memory", (*_MEMORY, *words))


def _order(length: int) -> Task:
    words = (
        f"source.length={length}", "source.task=temporal_order", _TOKENS, "head=classification",
        "data.target={column: label, kind: label}", "head.pooling=last", "cell.hidden_size=32",
        "trainer.max_steps=400",
    )  # fmt: skip
    title = f"which of X and Y came first and which second, among {length} symbols"
    return Task(f"order_{length}", title, "memory", (*_MEMORY, *words))


def _real(name: str, title: str, *words: str, decoder: int | None = None) -> Task:
    return Task(name, title, "real", (f"experiment={name}", *words), decoder)


#: In the order they are done in: those of most use first.
TASKS = (
    _real(
        "mnist1d", "which digit a curve of 40 points is",
        "encoder.input_layer={size: 32}", "cell.hidden_size=32", "trainer.max_epochs=10",
    ),
    _real(
        "pos", "parts of speech in Portuguese sentences",
        "source=files", "source.path=DATA/members/petrogold.conllu",
        "source.format={name: conllu, tags: upos}",
        "source.split={by: column, column: document,"
        " validation: [240-20140220-MONOGRAFIA_0, 411-20150702-MONOGRAFIA_0],"
        " test: [119-20141209-TESEMSC_0, 243-20141015-MONOGRAFIA_1]}",
        "data.limit_train=5000", "cell.hidden_size=64", "trainer.max_epochs=2",
    ),
    _real(
        "g2p", "how an English word is said",
        "data.limit_train=10000", "data.limit_validation=500", "data.limit_test=1000",
        "cell.hidden_size=64", "trainer.max_epochs=3", "trainer.max_seconds=null", decoder=96,
    ),
    _real(
        "taylor", "electricity demand of the next day",
        "encoder.input_layer={size: 32}", "cell.hidden_size=24", "trainer.max_epochs=5",
    ),
    _real(
        "reuters", "what a news text is about",
        "source=files", "source.train=DATA/members/reuters-r8-train.tab",
        "source.test=DATA/members/reuters-r8-test.tab",
        "data.max_length=100", "cell.hidden_size=48", "trainer.max_epochs=2",
    ),
    _real(
        "alice", "the next character of Alice's Adventures in Wonderland",
        "source=files", "source.path=DATA/members/alice29.txt",
        "source.format={name: text, by: paragraph}",
        "source.split={by: tail, validation: 0.05, test: 0.05}",
        "wrapper=none", "head.direction=forward", "data.chunks={length: 100}",
        "encoder.embedding.size=96", "cell.hidden_size=96", "trainer.max_epochs=3",
    ),
    _adding(100), _copy(50), _order(100),
    _real(
        "japanese_vowels", "which of nine men says a vowel",
        "encoder.input_layer={size: 32}", "cell.hidden_size=32",
    ),
    _real("ner", "named entities in Japanese sentences", "trainer.max_epochs=12"),
    _real(
        "scan", "commands to actions",
        "data.limit_train=4000", "data.limit_validation=300", "data.limit_test=1000",
        "wrapper=none", "cell.hidden_size=64", "head.decoder.num_layers=1",
        "head.attention=general", "optimizer.lr=3.0e-3", "trainer.max_epochs=6", decoder=64,
    ),
    _real(
        "pulse", "arterial pressure of the next beats",
        "encoder.input_layer={size: 32}", "cell.hidden_size=24", "trainer.max_epochs=4",
    ),
    _adding(50), _copy(20), _order(50), _adding(200), _copy(100), _order(200),
)  # fmt: skip
