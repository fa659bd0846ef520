"""The specs of the verbs that use a bundle: every key, with its type, default and meaning."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from seqlab.config.run_spec import Part
from seqlab.schema import Count, Name, NonNegative, Positive, Range, Rule, Share, Whole


@dataclass(frozen=True)
class EvaluateSpec:
    """One evaluation of a bundle.

    Attributes:
        bundle: the bundle's folder, or a list of folders: an ensemble.
        source: the data; null: the source the bundle was trained on.
        split: which split of it.
        output: file or folder for the results.
        predictions: a JSON Lines file for what is right and what was answered; null: none.
        batch_size: rows to a batch; null: the bundle's own.
        limit: only the first rows; null: all.
        device: where to compute.
        num_threads: CPU threads; null: torch's own choice.
        search: how a head that searches does it: a name, or ``{name: beam, width: 4}``.
    """

    bundle: str | list[str]
    source: Part | str | None = None
    split: Literal["train", "validation", "test"] = "test"
    output: str | None = None
    predictions: str | None = None
    batch_size: Count | None = None
    limit: Count | None = None
    device: str = "auto"
    num_threads: Count | None = None
    search: Part | str | None = None


@dataclass(frozen=True)
class ScoreSpec:
    """The answers of a bundle to every row of a file.

    Attributes:
        bundle: the bundle's folder.
        input: a file of any registered format; ``-``: standard input.
        output: a JSONL file; ``-``: standard output.
        format: a format's name, or a mapping of ``name`` and its options; null: by the file's
            ending, with the options the bundle's own data were read with.
        column: the column that holds the input; null: the bundle's own feature columns.
        batch_size: rows to a batch.
        device: where to compute.
        num_threads: CPU threads; null: torch's own choice.
    """

    bundle: str
    input: str = "-"
    output: str = "-"
    format: str | Part | None = None
    column: str | None = None
    batch_size: Count = 64
    device: str = "auto"
    num_threads: Count | None = None


@dataclass(frozen=True)
class PredictSpec(ScoreSpec):
    """Predictions of a bundle for every row of a file.

    Attributes:
        bundle: the bundle's folder, or a list of folders: an ensemble.
        search: how a head that searches does it: a name, or ``{name: beam, width: 4}``.
        options: of the head's answers, for example ``{k_best: 3}`` for tagging.
    """

    bundle: str | list[str]  # type: ignore[assignment]  # wider than that of a score
    search: Part | str | None = None
    options: Part = field(default_factory=dict)


@dataclass(frozen=True)
class GenerateSpec:
    """Texts written by a language model; see ``TrainedModel.generate``.

    Attributes:
        bundle: the bundle's folder.
        prompt: what the texts begin with.
        input: a text file with a prompt a line, in place of ``prompt``; ``-``: standard input.
        output: a JSONL file; ``-``: standard output.
        n: how many texts for each prompt.
        max_length: the most tokens to add.
        temperature: below 1 makes the probable more probable; 0: always the most probable.
        top_k: only among the k most probable tokens.
        top_p: only among the fewest tokens that have this probability together.
        seed: of the random draws; null: other texts each time.
        direction: forward or backward, of a model that has both.
        device: where to compute.
        num_threads: CPU threads; null: torch's own choice.
    """

    bundle: str
    prompt: str = ""
    input: str | None = None
    output: str = "-"
    n: Count = 1
    max_length: Count = 100
    temperature: NonNegative = 1.0
    top_k: Count | None = None
    top_p: Share | None = None
    seed: Whole | None = None
    direction: Literal["forward", "backward"] | None = None
    device: str = "auto"
    num_threads: Count | None = None


#: Several seeds: how many from 0 on, or which.
Seeds = (
    Annotated[int, Range(least=2)]
    | Annotated[list[Whole], Rule(lambda s: len(set(s)) == len(s) > 1, "a list of two or more")]
)


@dataclass(frozen=True)
class CompareSpec:
    """One comparison; all other keys are those of a training run, several values for some.

    Attributes:
        seeds: how many, or a list of them; null: 5, or those a resumed comparison was begun with.
        match: ``parameters``: the hidden size of each is chosen for equal numbers of weights;
            ``seconds``: each gets as many steps as take the same time; ``none``: as configured.
        parameters: how many weights, for ``match=parameters``; null: those of the first.
        seconds: of training a run, for ``match=seconds``; null: those of the first.
        budget: seconds after which no further seed begins, if two are done; null: no limit.
        jobs: runs at once, each in a process of its own.
        metric: of the head, to compare by; null: the one that weights are selected by.
        quality: the validation value that the time to reach it is told for; null: what all reach.
        level: the chance of a false verdict, all pairs together.
        contestants: names to lists of words, where several values of keys do not say it.
        runs: a folder of finished runs to compare, or several; nothing is trained.
        resume: the folder of a comparison to go on with.
    """

    seeds: Seeds | None = None
    match: Literal["parameters", "seconds", "none"] = "parameters"
    parameters: Count | None = None
    seconds: Positive | None = None
    budget: Positive | None = None
    jobs: Count = 1
    metric: str | None = None
    quality: Annotated[float, Rule(math.isfinite, "a number")] | None = None
    level: Annotated[float, Range(above=0, below=1)] = 0.05
    contestants: dict[str, Any] = field(default_factory=dict)
    runs: str | list[str] | None = None
    resume: str | None = None


@dataclass(frozen=True)
class CrossvalidateSpec:
    """One cross-validation; all other keys are those of a training run.

    Attributes:
        folds: into how many parts the rows are divided; each is the test of one run.
        stratify: a column; each part has each of its values as often as the others.
        group: a column; the rows of each of its values are in one part.
        fold_seed: of the draw of the parts; that of the runs is ``seed``.
        jobs: runs at once, each in a process of its own.
        resume: the folder of a cross-validation to go on with.
    """

    folds: Annotated[int, Range(least=2)] = 5
    stratify: Name | None = None
    group: Name | None = None
    fold_seed: Whole = 0
    jobs: Count = 1
    resume: str | None = None


@dataclass(frozen=True)
class SweepSettings:
    """How a sweep goes about it.

    Attributes:
        space: keys to what they may be: a list of choices, ``{uniform: [low, high]}``,
            ``{log: [low, high]}`` or ``{int: [low, high]}``; see ``seqlab.sweeping.space``.
        trials: how many there are in all; null: 20, or those a resumed sweep was begun with.
        workers: trials at once, each in a process of its own.
        sampler: how points are chosen: ``tpe`` learns from the trials so far; ``random``; ``grid``
            takes all points of a space of choices in turn.
        pruner: when a trial that does badly is given up: ``median``: it is worse than the median
            of the others after as many validations; ``halving``, ``hyperband``: the best of those
            that came so far go on; ``none``.
        startup: how many trials must have ended before ``median`` gives one up.
        warmup: validations of a trial before it may be given up.
        seed: of the choice of points; that of the runs is ``seed``.
    """

    space: dict[str, Any] = field(default_factory=dict)
    trials: Count | None = None
    workers: Count = 1
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    pruner: Literal["median", "halving", "hyperband", "none"] = "median"
    startup: Count = 5
    warmup: Whole = 1
    seed: Whole = 0


@dataclass(frozen=True)
class SweepSpec:
    """One sweep; all other keys are those of a training run.

    Attributes:
        sweep: how it goes about it.
        resume: the folder of a sweep to go on with.
    """

    sweep: SweepSettings = field(default_factory=SweepSettings)
    resume: str | None = None
