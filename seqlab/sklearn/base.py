"""What the estimators have in common: parameters, training, answers."""

from __future__ import annotations

from typing import Any

from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from seqlab.bundle import TrainedModel, save_bundle
from seqlab.data.sources.memory import MemorySource
from seqlab.errors import DataError
from seqlab.sklearn.inputs import Inputs, read_inputs
from seqlab.sklearn.settings import run_spec
from seqlab.training.fitting import fit_rows
from sklearn.base import BaseEstimator

#: The columns of what is learnt, and of how often a row counts.
TARGET, WEIGHT = "_y", "_weight"


class SequenceEstimator(BaseEstimator):  # type: ignore[misc]  # it ships no types
    """Base of the estimators; a run of ``seqlab train`` on rows that a program holds.

    Args:
        cell: a registered cell's name, or a mapping of ``name`` and options.
        hidden_size: of the cell; None: its own default.
        bidirectional: read in both directions.
        num_layers: layers on top of each other.
        wrappers: specs from the inside out, in place of the two above.
        embedding_size: width of the vectors of characters, words or tokens.
        tokenizer: a registered tokenizer's name or spec, for text.
        dropout: on the encoder's output.
        head: options of the head, such as ``{"pooling": "mean"}``.
        optimizer: a registered optimizer's name, or a mapping of ``name`` and options.
        lr: its rate.
        batch_size: rows in a training batch.
        max_epochs: a number, or ``auto``: 10, or as many as make 500 steps.
        validation_fraction: of the rows, to choose the best weights by and to stop early; None, or
            fewer than 20 rows: the last weights are kept.
        patience: validations without improvement that end training; None: never.
        engine: what runs the layers.
        device: ``cpu``, ``gpu`` or ``auto``.
        num_threads: CPU threads; None: torch's own choice.
        random_state: as everywhere in scikit-learn; an int gives the same weights each time.
        verbose: print a line an epoch.
        options: any other key of a run's config by its whole name:
            ``{"trainer.gradient_clip_val": 0.5}``.
    """

    def __init__(
        self,
        *,
        cell: Any = "lstm",
        hidden_size: int | None = 64,
        bidirectional: bool = True,
        num_layers: int = 1,
        wrappers: Any = None,
        embedding_size: int = 64,
        tokenizer: Any = "words",
        dropout: float = 0.0,
        head: Any = None,
        optimizer: Any = "adamw",
        lr: float | None = 3e-3,
        batch_size: int = 32,
        max_epochs: Any = "auto",
        validation_fraction: float | None = 0.1,
        patience: int | None = 5,
        engine: str = "auto",
        device: str = "cpu",
        num_threads: int | None = None,
        random_state: Any = None,
        verbose: bool = False,
        options: Any = None,
    ) -> None:
        self.cell = cell
        self.hidden_size = hidden_size
        self.bidirectional = bidirectional
        self.num_layers = num_layers
        self.wrappers = wrappers
        self.embedding_size = embedding_size
        self.tokenizer = tokenizer
        self.dropout = dropout
        self.head = head
        self.optimizer = optimizer
        self.lr = lr
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.engine = engine
        self.device = device
        self.num_threads = num_threads
        self.random_state = random_state
        self.verbose = verbose
        self.options = options

    def __sklearn_tags__(self) -> Tags:
        """What the estimator takes."""
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        tags.target_tags.required = True
        return tags

    def _fit(
        self,
        inputs: Inputs,
        target: Any,
        kind: dict[str, Any],
        head: dict[str, Any],
        weights: Any = None,
    ) -> None:
        """Train, and keep the model as ``trained_``."""
        columns = dict(inputs.columns)
        for name, what in ((TARGET, "what is learnt"), (WEIGHT, "weights")):
            if name in columns:
                raise DataError(f"X: a column is called '{name}', which is kept for {what}")
        if weights is not None:
            columns[WEIGHT] = weights.tolist()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        spec = run_spec(
            self.get_params(deep=False),
            features=inputs.features(self.tokenizer),
            target={"column": TARGET, **kind},
            head=head,
            rows=len(inputs),
            seed=seed,
        )
        source = MemorySource({**columns, TARGET: target})
        self.trained_: TrainedModel = fit_rows(
            spec, source, weights=None if weights is None else WEIGHT, verbose=self.verbose
        )
        self.kinds_ = dict(inputs.kinds)

    def _answers(self, X: Any) -> list[dict[str, Any]]:
        """What the model says to each row.

        Raises:
            NotFittedError: it was not trained.
            ValueError: the rows are of another form than those it learnt from.
        """
        check_is_fitted(self, "trained_")
        inputs = read_inputs(self, X, reset=False)
        if dict(inputs.kinds) != self.kinds_:
            raise DataError(
                f"X: expected the columns {_told(self.kinds_)}, got {_told(inputs.kinds)}"
            )
        return self.trained_.predict_rows(inputs.rows(), _row, batch_size=max(64, self.batch_size))

    def save_bundle(self, folder: Any) -> None:
        """Write the model as a bundle, for ``seqlab.load`` and every verb that takes one.

        Args:
            folder: where to.
        """
        check_is_fitted(self, "trained_")
        save_bundle(folder, self.trained_.model, self.trained_.processor, self.trained_.config)


def _row(index: int) -> str:
    return f"row {index}"


def _told(kinds: Any) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
