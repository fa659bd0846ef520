"""The spec of a run: every key of a composed config, with its type, default and meaning.

Hydra composes YAML files and command-line overrides; ``seqlab.config.resolve`` checks the result
against these dataclasses and returns plain dicts. Parts (``source``, ``encoder.cell``,
``encoder.wrappers``, ``head``, ``optimizer``, ``scheduler``) are mappings with a registered
``name`` and the options that the registered class or function takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from seqlab.schema import Count, Flag, Fraction, NonNegative, Positive, Range, Rule, Share, Whole
from seqlab.start.spec import StartSpec

Part = dict[str, Any]
#: Optimiser steps of a run.
Steps = Annotated[
    int, Rule(lambda steps: steps == -1 or steps > 0, "an int of at least 1, or -1 for no limit")
]
#: How many devices.
Devices = Annotated[
    int, Rule(lambda count: count == -1 or count > 0, "an int of at least 1, or -1 for all")
]
#: Which devices.
Indices = Annotated[list[Whole], Rule(bool, "a list of device numbers")]
#: Batches of an epoch, or the part of them that is meant.
SomeBatches = Count | Annotated[float, Range(above=0, most=1)]


@dataclass(frozen=True)
class TrainerSpec:
    """How the run is carried out; the names are those of Lightning's Trainer.

    Attributes:
        accelerator: ``cpu``, ``gpu``, ``mps`` or ``auto``; one that is not there is an error.
        devices: how many, their indices as a list, or ``auto``.
        strategy: ``auto``, ``ddp``, ``fsdp`` (each process has a share of the weights) or another
            of Lightning's strategies by name.
        num_nodes: machines that take part.
        precision: number format, for example ``bf16-mixed``.
        max_epochs: stop after so many epochs; ``auto``: after 10, or as many as make 500
            optimiser steps, or as ``max_steps`` says; null: no such limit.
        max_steps: stop after so many optimiser steps; -1: no such limit.
        max_seconds: stop after so much wall-clock time; null: no such limit.
        gradient_clip_val: largest gradient; null: no clipping.
        gradient_clip_algorithm: clip by total ``norm`` or each ``value``.
        accumulate_grad_batches: batches to an optimiser step.
        deterministic: only algorithms that repeat exactly; ``warn`` says where there is none.
        benchmark: let cuDNN measure its algorithms first.
        num_threads: CPU threads for tensor maths; null: torch's own choice.
        log_every_n_steps: how often a training step is written to the logs.
        val_check_interval: validate every so many batches (int) or parts of an epoch (number).
        check_val_every_n_epoch: validate at the end of every so many epochs.
        num_sanity_val_steps: validation batches to try before training; -1: all.
        enable_progress_bar: show progress.
        limit_train_batches: use so many batches (int) or that share (number) of each epoch.
        limit_val_batches: the same for validation.
        limit_test_batches: the same for the final test.
        overfit_batches: train and validate on the same few batches; 0 switches it off.
        detect_anomaly: stop at the first NaN in the backward pass and say where it arose.
    """

    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    devices: Devices | Indices | Literal["auto"] = 1
    strategy: str = "auto"
    num_nodes: Count = 1
    precision: Literal[
        "32-true", "64-true", "16-true", "bf16-true", "16-mixed", "bf16-mixed", 16, 32, 64
    ] = "32-true"
    max_epochs: Count | Literal["auto"] | None = "auto"
    max_steps: Steps = -1
    max_seconds: Positive | None = None
    gradient_clip_val: NonNegative | None = 1.0
    gradient_clip_algorithm: Literal["norm", "value"] = "norm"
    accumulate_grad_batches: Count = 1
    deterministic: bool | Literal["warn"] = True
    benchmark: bool = False
    num_threads: Count | None = None
    log_every_n_steps: Count = 50
    val_check_interval: SomeBatches | None = None
    check_val_every_n_epoch: Count = 1
    num_sanity_val_steps: Annotated[int, Range(least=-1)] = 0
    enable_progress_bar: bool = True
    limit_train_batches: SomeBatches | None = None
    limit_val_batches: Whole | Share | None = None
    limit_test_batches: Whole | Share | None = None
    overfit_batches: Whole = 0
    detect_anomaly: bool = False


@dataclass(frozen=True)
class CheckpointSpec:
    """Which checkpoints are kept: the best by the monitored metric, and the last to resume from.

    ``monitor`` and ``mode`` are the head's own unless given. ``every_n_steps`` also writes the
    resume checkpoint inside an epoch.
    """

    monitor: str | None = None
    mode: Literal["min", "max"] | None = None
    every_n_steps: Count | None = None


@dataclass(frozen=True)
class ProgressSpec:
    """The progress bar's refresh, in batches."""

    refresh_rate: Count = 10


@dataclass(frozen=True)
class FeatureEmbeddingSpec:
    """How one feature is embedded: what is not given is left to ``seqlab.model``.

    What stands before ``dropout`` is of features of ids, the rest of pieces; ``size`` of both.
    """

    size: Count | None = None
    vectors: str | None = None
    words: Literal["training", "all"] = "training"
    max_words: Count | None = None
    trained: Flag = True
    dropout: Fraction = 0.0
    convolution: Any = None
    cell: Any = None
    wrappers: Sequence[Any] | None = None
    pooling: Any = None


@dataclass(frozen=True)
class EmbeddingSpec:
    """Embeddings of ``ids`` features: width, dropout, and single features' own widths by name."""

    size: Count = 64
    dropout: Fraction = 0.0
    word_dropout: Fraction = 0.0
    features: dict[str, FeatureEmbeddingSpec] = field(default_factory=dict)


@dataclass(frozen=True)
class InputLayerSpec:
    """A dense layer between the features and the recurrent layer."""

    size: Count
    activation: str = "linear"


@dataclass(frozen=True)
class EncoderSpec:
    """Input features, a cell in wrappers (inside out), and how its layers are run.

    ``initial_state`` is ``zeros``, or ``trained`` for a parameter of each layer.
    """

    cell: Part | str
    wrappers: list[Part | str] = field(default_factory=list)
    embedding: EmbeddingSpec = field(default_factory=EmbeddingSpec)
    input_layer: InputLayerSpec | None = None
    dropout: Fraction = 0.0
    engine: str = "auto"
    initial_state: Literal["zeros", "trained"] = "zeros"


@dataclass(frozen=True)
class RunSpec:
    """One training run.

    Attributes:
        seed: all randomness of the run follows from it.
        source: where the data comes from (kind ``source``).
        data: features, target and batching.
        encoder: the recurrent part.
        head: the task (kind ``head``).
        optimizer: how the weights are changed (kind ``optimizer``).
        scheduler: how the learning rate changes (kind ``schedule``).
        trainer: length, device, precision of the run.
        callbacks: ``checkpoint`` and ``progress``, which every run has, and any others (kind
            ``callback``): a registered name to its options. true: without options; null or false:
            left out. A mapping with a ``name`` may have any key.
        logger: where rows of ``metrics.csv`` go too (kind ``logger``): names as in callbacks.
        start: the finished model it begins with, and which parts are trained how.
        resume: true to go on with the run in this run directory, or another run's directory.
        samples: how many decoded test samples to show at the end.
        report: whether the finished run gets a page, ``report.html``.
    """

    source: Part | str
    data: Part
    encoder: EncoderSpec
    head: Part | str
    optimizer: Part | str
    scheduler: Part | str
    seed: Whole = 0
    trainer: TrainerSpec = field(default_factory=TrainerSpec)
    callbacks: dict[str, Any] = field(default_factory=dict)
    logger: dict[str, Any] = field(default_factory=dict)
    start: StartSpec = field(default_factory=StartSpec)
    resume: bool | str | None = None
    samples: Whole = 5
    report: bool = True
