"""The kit as parametrized pytest tests: one test a check, with the check's name in its id."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from seqlab import registry
from seqlab.errors import OptionError
from seqlab.testing.check_table import TableRun
from seqlab.testing.kit import make_run
from seqlab.testing.result import EXPECTED, SKIPPED, Settings

#: Marks every test that the kit makes; ``pytest -m seqlab_check`` runs only these.
MARK = "seqlab_check"


class BoundCheck:
    """One check of one part; calling it runs it and tells pytest the outcome."""

    def __init__(self, run: TableRun, name: str, label: str) -> None:
        self.run, self.name, self.label = run, name, label

    def __call__(self) -> None:
        """Run the check, and what it needs, once for all tests of the part.

        Raises:
            AssertionError: it fails; the message has the sentence, the reason and the bug.
        """
        import pytest

        __tracebackhide__ = True
        result = self.run.result(self.name)
        if result.outcome == SKIPPED:
            pytest.skip(result.reason)
        if result.outcome == EXPECTED:
            pytest.xfail(result.reason)
        if not result.passed:
            raise AssertionError(
                f"{self.label}: {self.name}: {result.reason}\n"
                f"  it should hold that: {result.says}\n"
                f"  the check catches: {result.catches}"
            )

    def __repr__(self) -> str:
        """The id of the test."""
        return f"{self.label}-{self.name}"


def kind_of(part: Any) -> str:
    """The kind of a class, by the base it has.

    Raises:
        OptionError: it has none of them; name the part as ``kind=name`` then.
    """
    from seqlab.cells.base import Cell
    from seqlab.cells.modifiers import Modifier
    from seqlab.data.features.base import Feature
    from seqlab.data.formats.base import Format
    from seqlab.data.sources.base import Source
    from seqlab.data.targets.base import Target
    from seqlab.data.tokenizers.base import Tokenizer
    from seqlab.data.transforms.base import Transform
    from seqlab.engines.base import Engine
    from seqlab.heads.attention import Attention
    from seqlab.heads.base import Head
    from seqlab.heads.pooling import Pooling
    from seqlab.heads.search import Search
    from seqlab.wrappers.base import Wrapper
    from seqlab.wrappers.merges import Merge

    bases: dict[str, type] = {
        "cell": Cell,
        "wrapper": Wrapper,
        "head": Head,
        "engine": Engine,
        "source": Source,
        "format": Format,
        "merge": Merge,
        "modifier": Modifier,
        "pooling": Pooling,
        "attention": Attention,
        "search": Search,
        "transform": Transform,
        "tokenizer": Tokenizer,
        "feature": Feature,
        "target": Target,
    }
    for kind, base in (*bases.items(), *_training_bases()):
        if inspect.isclass(part) and issubclass(part, base):
            return kind
    raise OptionError(f"{part!r} has no base by which its kind is known; write it as 'kind=name'")


def _training_bases() -> Iterator[tuple[str, type]]:
    """The bases of a run's parts; later ones bring Lightning, which takes long to import."""
    from torch.optim import Optimizer

    from seqlab.training.schedules import Schedule

    yield from {"optimizer": Optimizer, "schedule": Schedule}.items()
    from seqlab.training.callbacks import LightningCallback
    from seqlab.training.loggers import LightningLogger

    yield from {"callback": LightningCallback, "logger": LightningLogger}.items()


def _parts(item: Any) -> tuple[str, Any, Mapping[str, Any], str]:
    """Kind, part, options and label of one item of ``parametrize_with_checks``."""
    part, options = item if isinstance(item, tuple) else (item, {})
    if isinstance(part, str):
        kind, equals, name = part.partition("=")
        if not equals or kind not in registry.KINDS:
            raise OptionError(f"a part by name is 'kind=name', such as 'cell=gru', not {part!r}")
        label, target = f"{kind}={name}", name
    else:
        kind, label, target = kind_of(part), part.__name__, part
    shown = ",".join(f"{key}={value}" for key, value in options.items())
    return kind, target, options, f"{label}({shown})" if shown else label


def parametrize_with_checks(
    parts: Iterable[Any], *, settings: Settings | None = None, slow: bool | None = None
) -> Any:
    """A decorator that runs a test once for each check of each part.

    Args:
        parts: classes, names as ``"cell=gru"``, or pairs of one of these and options.
        settings: how to run; expected failures become pytest's xfail, with their reason.
        slow: only the checks that take seconds (True), only the others (False), or all (None).

    Returns:
        ``pytest.mark.parametrize`` over an argument named ``check``, which the test calls.

    Raises:
        OptionError: a part's kind is not known.
        UnknownNameError: no part has that name.

    Example::

        @parametrize_with_checks([MGU, (MGU, {"layer_norm": True})])
        def test_conforms(check):
            check()
    """
    import pytest

    bound = []
    for item in parts:
        kind, target, options, label = _parts(item)
        run = make_run(kind, target, options, settings)
        for name in run.names():
            if slow is None or run.checks[name].slow == slow:
                made = BoundCheck(run, name, label)
                mark = getattr(pytest.mark, MARK)
                bound.append(pytest.param(made, id=repr(made), marks=mark))
    return pytest.mark.parametrize("check", bound)
