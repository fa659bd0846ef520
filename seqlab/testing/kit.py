"""The kit: for every kind of part its table of checks, and the functions that run them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from seqlab import registry
from seqlab.errors import OptionError
from seqlab.testing.case import Case, CellCase, WrapperCase
from seqlab.testing.checks import Run, Table
from seqlab.testing.result import CheckResult, Settings

MakeTable = Callable[[Any], Table]


@dataclass(frozen=True)
class Kind:
    """How parts of one kind are checked: what a part becomes, and its checks."""

    case: Callable[[Any, Mapping[str, Any]], Case]
    table: MakeTable


def _cells() -> Kind:
    from seqlab.testing import cells, models
    from seqlab.testing.engine_runs import engine_checks
    from seqlab.testing.extremes import EXTREME_CHECKS
    from seqlab.testing.layers import LAYER_CHECKS, SIZES
    from seqlab.testing.options import option_checks
    from seqlab.testing.pickling import PICKLING
    from seqlab.testing.steps import STEP_CHECKS
    from seqlab.testing.weights import DTYPES, REGISTERED, WEIGHT_CHECKS

    def table(part: Any) -> Table:
        return Table(
            cells.FIRST,
            REGISTERED,
            cells.CONTRACT,
            SIZES,
            DTYPES,
            LAYER_CHECKS,
            WEIGHT_CHECKS,
            EXTREME_CHECKS,
            PICKLING,
            STEP_CHECKS,
            engine_checks(part),
            option_checks(part),
            models.wrapper_checks(part),
            models.head_checks(part),
            models.BUNDLE_CHECKS,
            models.SPEED_CHECKS,
        )

    return Kind(CellCase, table)


def _wrappers() -> Kind:
    from seqlab.testing import models, wrappers
    from seqlab.testing.extremes import EXTREME_CHECKS
    from seqlab.testing.layers import LAYER_CHECKS, SIZES
    from seqlab.testing.pickling import PICKLING
    from seqlab.testing.weights import DTYPES, REGISTERED, WEIGHT_CHECKS

    def table(part: Any) -> Table:
        return Table(
            wrappers.FIRST,
            REGISTERED,
            wrappers.CONTRACT,
            SIZES,
            DTYPES,
            LAYER_CHECKS,
            WEIGHT_CHECKS,
            EXTREME_CHECKS,
            PICKLING,
            wrappers.WRAPPER_CHECKS,
            models.nesting_checks(part),
            models.head_checks(part, ("classification",)),
            models.BUNDLE_CHECKS,
        )

    return Kind(WrapperCase, table)


def _engines() -> Kind:
    from seqlab.testing.engines import EngineCase, engine_table

    return Kind(EngineCase, engine_table)


def _plain(module: str, case: str, checks: str) -> Callable[[], Kind]:
    """A kind whose checks are one table, in a module that is imported when it is needed."""

    def make() -> Kind:
        import importlib

        home = importlib.import_module(f"seqlab.testing.{module}")
        table: Table = getattr(home, checks)
        return Kind(getattr(home, case), lambda _: table)

    return make


_KINDS: dict[str, Callable[[], Kind]] = {
    "cell": _cells,
    "wrapper": _wrappers,
    "engine": _engines,
    "head": _plain("heads", "HeadCase", "HEAD_CHECKS"),
    "source": _plain("sources", "SourceCase", "SOURCE_CHECKS"),
    "format": _plain("formats", "FormatCase", "FORMAT_CHECKS"),
    "merge": _plain("merges", "MergeCase", "MERGE_CHECKS"),
    "pooling": _plain("poolings", "PoolingCase", "POOLING_CHECKS"),
    "attention": _plain("attentions", "AttentionCase", "ATTENTION_CHECKS"),
    "search": _plain("searches", "SearchCase", "SEARCH_CHECKS"),
    "activation": _plain("functions", "FunctionCase", "ACTIVATION_CHECKS"),
    "initializer": _plain("functions", "FunctionCase", "INITIALIZER_CHECKS"),
    "regularizer": _plain("functions", "ObjectCase", "REGULARIZER_CHECKS"),
    "constraint": _plain("functions", "ObjectCase", "CONSTRAINT_CHECKS"),
    "metric": _plain("metrics", "MetricCase", "METRIC_CHECKS"),
    "transform": _plain("transforms", "TransformCase", "TRANSFORM_CHECKS"),
    "tokenizer": _plain("tokenizers", "TokenizerCase", "TOKENIZER_CHECKS"),
    "feature": _plain("columns", "FeatureCase", "FEATURE_CHECKS"),
    "target": _plain("columns", "TargetCase", "TARGET_CHECKS"),
    "optimizer": _plain("optimizers", "OptimizerCase", "OPTIMIZER_CHECKS"),
    "schedule": _plain("optimizers", "ScheduleCase", "SCHEDULE_CHECKS"),
    "callback": _plain("callbacks", "CallbackCase", "CALLBACK_CHECKS"),
    "logger": _plain("callbacks", "LoggerCase", "LOGGER_CHECKS"),
}

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
) -> Run:
    """The checks of one part, ready to run.

    Args:
        kind: a kind with checks.
        part: a class or function, or the name it is registered under.
        options: given to the part whenever it is built.
        settings: how to run. Expected failures that the part states itself, in an attribute
            ``expected_failures``, are added to those here.

    Raises:
        OptionError: the kit has no checks for that kind, or an expected failure has no reason.
        UnknownNameError: no part has that name.
    """
    if kind not in _KINDS:
        raise OptionError(
            f"the kit has no checks of a {kind}; it has those of {', '.join(kinds())}"
        )
    settings = settings or Settings()
    if isinstance(part, str):
        known = KNOWN.get((kind, part), {})
        options = options or EXAMPLES.get((kind, part))
        part = registry.get(kind, part)
    else:
        known = {}
    stated = {**known, **_stated(part), **settings.expected_failures}
    made = _KINDS[kind]()
    table = made.table(part)
    return Run(
        table.checks,
        made.case(part, dict(options or {})),
        replace(settings, expected_failures=stated),
    )


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
