"""The kit: for every kind of part its table of checks, and the functions that run them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from seqlab import registry
from seqlab.construct import accepted_options
from seqlab.errors import OptionError
from seqlab.testing.check_table import Table, TableRun
from seqlab.testing.result import CheckResult, Settings

#: For each kind its case and its tables, by module of this package and name; a function makes the
#: table of a part. A module is imported when it is needed.
_KINDS: dict[str, tuple[str, str]] = {
    "cell": (
        "case.CellCase",
        """
        cells.FIRST weights.REGISTERED cells.CONTRACT layers.SIZES weights.DTYPES
        layers.LAYER_CHECKS weights.WEIGHT_CHECKS extremes.EXTREME_CHECKS pickling.PICKLING
        steps.STEP_CHECKS engine_runs.engine_checks options.option_checks
        models.wrapper_checks models.head_checks models.BUNDLE_CHECKS models.SPEED_CHECKS
        """,
    ),
    "wrapper": (
        "case.WrapperCase",
        """
        wrappers.FIRST weights.REGISTERED wrappers.CONTRACT layers.SIZES weights.DTYPES
        layers.LAYER_CHECKS weights.WEIGHT_CHECKS extremes.EXTREME_CHECKS pickling.PICKLING
        wrappers.WRAPPER_CHECKS models.nesting_checks models.classification_checks
        models.BUNDLE_CHECKS
        """,
    ),
    "engine": ("engines.EngineCase", "engines.engine_table"),
    "head": ("heads.HeadCase", "heads.HEAD_CHECKS"),
    "source": ("sources.SourceCase", "sources.SOURCE_CHECKS"),
    "format": ("formats.FormatCase", "formats.FORMAT_CHECKS"),
    "merge": ("merges.MergeCase", "merges.MERGE_CHECKS"),
    "pooling": ("poolings.PoolingCase", "poolings.POOLING_CHECKS"),
    "attention": ("attentions.AttentionCase", "attentions.ATTENTION_CHECKS"),
    "search": ("searches.SearchCase", "searches.SEARCH_CHECKS"),
    "activation": ("functions.FunctionCase", "functions.ACTIVATION_CHECKS"),
    "initializer": ("functions.FunctionCase", "functions.INITIALIZER_CHECKS"),
    "regularizer": ("functions.ObjectCase", "functions.REGULARIZER_CHECKS"),
    "constraint": ("functions.ObjectCase", "functions.CONSTRAINT_CHECKS"),
    "modifier": ("modifiers.ModifierCase", "modifiers.MODIFIER_CHECKS"),
    "metric": ("metrics.MetricCase", "metrics.METRIC_CHECKS"),
    "transform": ("transforms.TransformCase", "transforms.TRANSFORM_CHECKS"),
    "tokenizer": ("tokenizers.TokenizerCase", "tokenizers.TOKENIZER_CHECKS"),
    "feature": ("columns.FeatureCase", "columns.FEATURE_CHECKS"),
    "target": ("columns.TargetCase", "columns.TARGET_CHECKS"),
    "optimizer": ("optimizers.OptimizerCase", "optimizers.OPTIMIZER_CHECKS"),
    "schedule": ("optimizers.ScheduleCase", "optimizers.SCHEDULE_CHECKS"),
    "callback": ("callbacks.CallbackCase", "callbacks.CALLBACK_CHECKS"),
    "logger": ("callbacks.LoggerCase", "callbacks.LOGGER_CHECKS"),
}


def _named(path: str) -> Any:
    module, _, name = path.partition(".")
    return getattr(importlib.import_module(f"seqlab.testing.{module}"), name)


#: Checks that a built-in part is known to fail, and why.
KNOWN: dict[tuple[str, str], dict[str, str]] = {
    ("activation", "glu"): {
        "shape_is_kept": "halves the width, as Keras's does; cells refuse it by the shape"
    },
}
#: Options with which a built-in part is checked where none are given and it needs some.
EXAMPLES: dict[tuple[str, str], dict[str, Any]] = {
    ("activation", "threshold"): {"threshold": 0.1, "default_value": -0.2},
    ("regularizer", "l1_l2"): {"l1": 0.01, "l2": 0.02},
    ("logger", "wandb"): {"mode": "disabled"},
    ("transform", "windows"): {"columns": "series", "context": 3},
    ("transform", "group"): {"by": "id", "order": "time"},
    ("transform", "filter"): {"column": "tokens", "min_length": 4},
    ("transform", "fill"): {"columns": ["series", "number"]},
}


def kinds() -> list[str]:
    """The kinds that the kit has checks for."""
    return sorted(_KINDS)


def make_run(
    kind: str,
    part: Any,
    options: Mapping[str, Any] | None = None,
    settings: Settings | None = None,
) -> TableRun:
    """The checks of one part, ready to run.

    Args:
        kind: a kind with checks.
        part: a class or function, or the name it is registered under.
        options: given to the part whenever it is built.
        settings: how to run. Expected failures that the part states itself, in an attribute
            ``expected_failures``, are added to those here; they are stated for its default
            options, and with others such a check may also pass.

    Raises:
        OptionError: the kit has no checks for that kind, or an expected failure has no reason.
        UnknownNameError: no part has that name.
    """
    if kind not in _KINDS:
        raise OptionError(
            f"the kit has no checks of a {kind}; it has those of {', '.join(kinds())}"
        )
    settings, given = settings or Settings(), options or {}
    if isinstance(part, str):
        known = KNOWN.get((kind, part), {})
        options = options or EXAMPLES.get((kind, part))
        part = registry.get(kind, part)
    else:
        known = {}
    case, tables = _KINDS[kind]
    found = [_named(path) for path in tables.split()]
    table = Table(*(each if isinstance(each, Table) else each(part) for each in found))
    stated = {**known, **_stated(part)}
    if "expected_failures" not in vars(part):
        # a base class of another distribution may state checks of parts that come with that one
        names = {each.name for each in table.checks}
        stated = {name: reason for name, reason in stated.items() if name in names}
    if not _has_other_options(part, given):
        settings = replace(settings, expected_failures={**stated, **settings.expected_failures})
        stated = {}
    made = _named(case)(part, dict(options or {}))
    return TableRun(table.checks, made, settings, stated)


def _has_other_options(part: Any, options: Mapping[str, Any]) -> bool:
    """Whether one of a part's options, sizes included, is not what it is by default."""
    known = accepted_options(part)
    return any(name not in known or known[name].default != options[name] for name in options)


def _stated(part: Any) -> dict[str, str]:
    """The expected failures that a part states itself."""
    stated = getattr(part, "expected_failures", {})
    if not isinstance(stated, Mapping):
        raise OptionError(f"{part!r}.expected_failures must map checks to reasons, got {stated!r}")
    return dict(stated)


def check(
    kind: str, part: Any, /, *, settings: Settings | None = None, **options: Any
) -> list[CheckResult]:
    """Run every check of a part of any kind; see ``check_cell``."""
    return make_run(kind, part, options, settings).results()


def check_cell(
    cell_class: Any, /, *, settings: Settings | None = None, **options: Any
) -> list[CheckResult]:
    """Run every check of a cell.

    Args:
        cell_class: the class, or its registered name; it need not be registered.
        settings: how to run; by default all checks.
        **options: given to the class whenever it is built; ``input_size`` and ``hidden_size``
            replace the kit's own sizes.

    Returns:
        One result a check, with ``name``, ``passed``, ``reason`` and more.

    Example:
        >>> import seqlab
        >>> from seqlab.testing import Settings, check_cell
        >>> settings = Settings(only=("rows_do_not_mix",))
        >>> [str(result) for result in check_cell(seqlab.get("cell", "gru"), settings=settings)]
        ['rows_do_not_mix: passed']
    """
    return check("cell", cell_class, settings=settings, **options)


#: Each runs every check of a part of its kind; see ``check_cell``.
check_wrapper = partial(check, "wrapper")
check_head = partial(check, "head")
check_source = partial(check, "source")
check_format = partial(check, "format")
check_engine = partial(check, "engine")
check_merge = partial(check, "merge")
check_pooling = partial(check, "pooling")
check_attention = partial(check, "attention")
check_search = partial(check, "search")
check_modifier = partial(check, "modifier")
