"""Large data: time, processor time and memory of whole commands, each in a process of its own.

    python scripts/scale_cases.py [--share 0.1] [--case NAME ...]

Prints one line of a Markdown table for each case; docs/scale.md has the last ones.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import NamedTuple

TINY = ["cell=gru", "cell.hidden_size=32", "embedding.size=32"]
TRAIN = [
    *["train", "source=files", "data=text_label", "head=classification", "trainer=cpu"],
    *["trainer.num_threads=1", "samples=0", *TINY],
]


class Cost(NamedTuple):
    """What a command took."""

    seconds: float
    processor: float
    megabytes: float


def run(words: list[str], stdin: Path | None = None) -> Cost:
    """Run ``seqlab`` with these words, and measure the process.

    Raises:
        SystemExit: it fails.
    """
    began = time.monotonic()
    command = [sys.executable, "-m", "seqlab", *words]
    streams = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    if stdin is not None:
        streams.append((os.POSIX_SPAWN_OPEN, 0, str(stdin), os.O_RDONLY, 0))
    process = os.posix_spawn(command[0], command, os.environ, file_actions=streams)
    _, status, used = os.wait4(process, 0)
    if status:
        raise SystemExit(f"failed: seqlab {' '.join(words)}")
    return Cost(time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3)


def table(path: Path, rows: Iterable[tuple[str, str]]) -> list[str]:
    """Write a CSV file, and say how to train on it."""
    with path.open("w") as file:
        file.write("text,label\n")
        file.writelines(f"{text},{label}\n" for text, label in rows)
    return [*TRAIN, f"source.train={path}", f"hydra.run.dir={path.parent / 'run'}"]


def texts(
    count: int, *, words: int = 12, types: int = 5000, labels: int = 4
) -> Iterable[tuple[str, str]]:
    """Random texts and their labels; each type and label occurs if there is room for it."""
    draw = Random(0)  # noqa: S311 - test data
    for row in range(count):
        first = row * words % types
        some = [str(first + i) for i in range(words // 2)]
        some += [str(int(draw.random() * types)) for _ in range(words - len(some))]
        yield " ".join(some), str(row % labels)


def steps(count: int) -> str:
    """Train for so many steps."""
    return f"trainer.max_steps={count}"


def in_memory(folder: Path, share: float) -> Cost:
    """1,000,000 rows read, encoded; 20 steps."""
    return run([*table(folder / "t.csv", texts(int(1e6 * share))), steps(20)])


def streamed(folder: Path, share: float) -> Cost:
    """The same as a stream."""
    words = table(folder / "t.csv", texts(int(1e6 * share)))
    return run([*words, steps(20), "source.streaming=true"])


def long_rows(folder: Path, share: float) -> Cost:
    """20 steps with 4 rows of 20,000 words."""
    words = table(folder / "t.csv", texts(80, words=int(20_000 * share)))
    return run([*words, steps(20), "data.batch_size=4"])


def many_labels(folder: Path, share: float) -> Cost:
    """200,000 rows with 100,000 labels, 20 steps."""
    words = table(folder / "t.csv", texts(int(2e5 * share), labels=int(1e5 * share)))
    return run([*words, steps(20)])


def many_words(folder: Path, share: float) -> Cost:
    """200,000 rows with 1,000,000 types of words, all kept, 20 steps."""
    words = table(folder / "t.csv", texts(int(2e5 * share), types=int(1e6 * share)))
    return run([*words, steps(20), "data.features.text.tokenizer.min_count=1"])


def many_steps(folder: Path, share: float) -> Cost:
    """10,000 steps; the memory is to be that of few."""
    return run([*table(folder / "t.csv", texts(20_000)), steps(max(1, int(10_000 * share)))])


def predicted(folder: Path, share: float) -> Cost:
    """1,000,000 lines by standard input; the bundle is trained before."""
    run([*table(folder / "t.csv", texts(2_000)), steps(20)])
    lines = folder / "lines.txt"
    with lines.open("w") as file:
        file.writelines(f"{text}\n" for text, _ in texts(int(1e6 * share)))
    bundle = f"bundle={folder / 'run' / 'bundle'}"
    return run(["predict", bundle, "device=cpu", "num_threads=1"], lines)


CASES: dict[str, Callable[[Path, float], Cost]] = {
    case.__name__: case
    for case in (in_memory, streamed, long_rows, many_labels, many_words, many_steps, predicted)
}


def main() -> None:
    """Run the cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the sizes")
    parser.add_argument("--case", nargs="*", choices=CASES, default=list(CASES))
    given = parser.parse_args()
    print("| case | seconds | processor seconds | peak MB |\n|---|---|---|---|")
    for name in given.case:
        with tempfile.TemporaryDirectory() as folder:
            cost = CASES[name](Path(folder), given.share)
        what = (CASES[name].__doc__ or name).rstrip(".")
        row = f"| {what} | {cost.seconds:.1f} | {cost.processor:.1f} | {cost.megabytes:.0f} |"
        print(row, flush=True)


if __name__ == "__main__":
    main()
