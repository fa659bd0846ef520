"""Damaged files, and what reading them ends in: values, or one short line of seqlab's own."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from seqlab.errors import SeqlabError
from seqlab.testing.formats import damaged

#: Values that a file of JSON or YAML may hold in place of the right ones.
VALUES = (
    None,
    True,
    -1,
    10**30,
    float("nan"),
    "",
    "../../etc",
    "\ud800",
    [],
    {},
    [[[[[]]]]],
    {"_target_": "os.system"},
    "x" * 100_000,
)

LONGEST = 2000


def tried(
    read: Callable[[Any], Any],
    contents: Iterable[Any],
    error: type[SeqlabError] = SeqlabError,
) -> Counter[str]:
    """How many of the contents were refused, and how many read; prints it.

    Whatever else than ``error`` comes out of ``read`` fails the test, with the content it was.
    """
    counts: Counter[str] = Counter()
    for number, content in enumerate(contents):
        counts[_ending(read, content, error, number)] += 1
    print(dict(counts))  # noqa: T201 - the record of the long tests
    return counts


def _ending(read: Callable[[Any], Any], content: Any, error: type[SeqlabError], number: int) -> str:
    try:
        read(content)
    except error as refusal:
        text = str(refusal)
        assert "\n" not in text, (number, text)
        assert 0 < len(text) <= LONGEST, (number, text)
        return "refused"
    except Exception as failure:
        failure.add_note(f"content {number}: {content!r:.2000}")
        raise
    return "read"


def with_other_values(content: Any, count: int, seed: int = 0) -> Iterator[Any]:
    """Copies of a value of JSON in which something somewhere is another value, or is missing."""
    for number in range(count):
        draw = random.Random(f"{seed} {number}")  # noqa: S311 - test data
        changed = copy.deepcopy(content)
        container, key = draw.choice(_places(changed, []))
        if isinstance(container, dict) and draw.random() < 0.1:
            del container[key]
        else:
            container[key] = draw.choice(VALUES)
        yield changed


def _places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every container inside a value, with each of its keys."""
    for key in value if isinstance(value, dict) else range(len(value)):
        found.append((value, key))
        if isinstance(value[key], dict | list):
            _places(value[key], found)
    return found


def damaged_json(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """A file of JSON with other bytes, and as often with other values."""
    yield from damaged(content, count // 2, seed)
    for value in with_other_values(json.loads(content), count - count // 2, seed):
        yield json.dumps(value).encode()
