"""Compare cells on many tasks, several comparisons at once, and write docs/which-cell.md.

Each task is one `seqlab compare` in a process of its own, so whatever is stopped goes on with the
next call. Answers are kept as OUT/answers/TASK.json; tasks that have one are not done again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import Any

from which_cell_data import is_ready, prepare
from which_cell_page import write_page
from which_cell_tasks import CELLS, TASKS, Task

ROOT = Path(__file__).parents[1]
OUT = ROOT / "runs" / "which-cell"
_print_lock = Lock()
_stop = Event()


@dataclass(frozen=True)
class Terms:
    """How all tasks are done.

    Attributes:
        out: where comparisons and answers lie.
        data: what `prepare` filled.
        cells: who takes part.
        seeds: of every contestant.
        jobs: runs at once in a task, one thread each.
        ends: the moment (`time.monotonic`) at which everything stops; None: no such limit.
        extra: words for every task, to try something out.
    """

    out: Path
    data: Path
    cells: tuple[str, ...]
    seeds: int
    jobs: int
    ends: float | None
    extra: tuple[str, ...]

    def over(self) -> bool:
        """Whether everything is to stop."""
        return _stop.is_set() or (self.ends is not None and time.monotonic() > self.ends)


def run(tasks: Sequence[Task], terms: Terms, lanes: int) -> int:
    """Do the tasks that have no answer yet, `lanes` at once; the number of those left."""
    for folder in ("answers", "logs", "cache"):
        (terms.out / folder).mkdir(parents=True, exist_ok=True)
    packages = terms.out / "cache" / "packages"
    if not packages.is_symlink():
        packages.symlink_to((terms.data / "packages").resolve())
    open_tasks = [task for task in tasks if not _answer_file(task, terms).is_file()]
    tell(f"{len(tasks) - len(open_tasks)} of {len(tasks)} tasks have an answer already")
    with ThreadPoolExecutor(lanes) as pool:
        done = list(pool.map(lambda task: _carry_out(task, terms), open_tasks))
    left = done.count(False)
    tell(f"{done.count(True)} tasks done, {left} left" + " (the same command goes on)" * bool(left))
    return left


def _answer_file(task: Task, terms: Terms) -> Path:
    return terms.out / "answers" / f"{task.name}.json"


def _carry_out(task: Task, terms: Terms) -> bool:
    """One comparison; whether it has ended."""
    if terms.over():
        return False
    folder, log = terms.out / task.name, terms.out / "logs" / f"{task.name}.log"
    _same_machine(task, folder)
    words = [*task.command(terms.data.resolve(), terms.cells), *terms.extra]
    told = [*task.command(Path("DATA"), terms.cells), *terms.extra]
    options = [f"seeds={terms.seeds}", f"jobs={terms.jobs}", "report=false", "samples=0"]
    command = [sys.executable, "-m", "seqlab", "compare", *words, *options]
    begin = time.monotonic()
    tell(f"begin {task.name}")
    with log.open("a", encoding="utf-8") as stream:
        code = _call([*command, f"hydra.run.dir={folder}"], stream, terms)
    seconds = time.monotonic() - begin
    if code is None:
        tell(f"stop  {task.name} after {seconds:.0f} s")
        return False
    if code:
        tell(f"error {task.name}: exit code {code}, see {log}")
        return False
    answer = _answer(task, told, folder, seconds)
    _answer_file(task, terms).write_text(json.dumps(answer, indent=1) + "\n", "utf-8")
    tell(f"done  {task.name} in {seconds:.0f} s: {_first_sentence(answer)}")
    return True


def _call(command: Sequence[str], stream: Any, terms: Terms) -> int | None:
    """The exit code of a command; None where its time was over."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    cache = {"SEQLAB_CACHE": str(terms.out / "cache"), "HF_HUB_OFFLINE": "1"}
    processor = {"CUDA_VISIBLE_DEVICES": ""}  # all on the CPU
    process = subprocess.Popen(  # noqa: S603  our own words
        command, cwd=ROOT, env={**os.environ, **threads, **cache, **processor},
        stdout=stream, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    while (code := process.poll()) is None and not terms.over():
        time.sleep(0.2)
    if code is None:
        for sign in (signal.SIGTERM, signal.SIGKILL):  # workers too
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, sign)
            time.sleep(2)
        process.wait()
    return code


def machine() -> dict[str, Any]:
    """What kind of machine this is."""
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "python": platform.python_version(),
    }


def _same_machine(task: Task, folder: Path) -> None:
    """Refuse to go on with a comparison of another kind of machine: times would be of two."""
    file = folder / "machine.json"
    if file.is_file() and (begun := json.loads(file.read_text("utf-8"))) != machine():
        sys.exit(f"{task.name} was begun on {begun}; finish it there, or remove {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(machine()), "utf-8")


def _answer(task: Task, words: list[str], folder: Path, seconds: float) -> dict[str, Any]:
    """What is kept of a comparison: no paths, and the engine of each contestant beside it."""
    found = json.loads((folder / "compare.json").read_text("utf-8"))
    for one in found["contestants"]:
        result = json.loads((Path(one.pop("runs")[0]) / "result.json").read_text("utf-8"))
        one["engine"] = result["engine"]
    return {
        "task": task.name, "title": task.title, "kind": task.kind, "words": words,
        "machine": machine(), "wall_seconds": round(seconds, 1), **found,
    }  # fmt: skip


def _first_sentence(answer: dict[str, Any]) -> str:
    return str(answer["sentence"]).partition(". ")[0].partition("; ")[0]


def tell(line: str) -> None:
    """Print a line with the time."""
    with _print_lock:
        print(time.strftime("%H:%M:%S"), line, flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/which-cell", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    filling = verbs.add_parser("prepare", help="fetch the data; run works without a network then")
    running = verbs.add_parser("run", help="do the comparisons that have no answer yet")
    paging = verbs.add_parser("page", help="write docs/which-cell.md from the answers")
    for verb in (filling, running):
        verb.add_argument("--data", type=Path, default=OUT / "data", help="folder of the data")
    for verb in (running, paging):
        verb.add_argument("--out", type=Path, default=OUT, help="folder of the answers")
    names = [task.name for task in TASKS]
    running.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(names)}")
    running.add_argument("--cells", default=",".join(CELLS), help="names with commas between")
    running.add_argument("--seeds", type=int, default=5)
    running.add_argument("--lanes", type=int, default=1, help="comparisons at once")
    running.add_argument("--jobs", type=int, default=1, help="runs at once in each comparison")
    running.add_argument("--seconds", type=float, help="stop everything after so many")
    running.add_argument("--words", nargs="*", default=[], help="further words for every task")
    given = parser.parse_args()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: _stop.set())
    if given.verb == "prepare":
        prepare(given.data)
    elif given.verb == "page":
        write_page(given.out / "answers", ROOT / "docs", names)
    else:
        if unknown := set(given.tasks) - set(names):
            parser.error(f"no task is called {', '.join(sorted(unknown))}; there are {names}")
        terms = Terms(
            given.out.resolve(), given.data, tuple(given.cells.split(",")), given.seeds,
            given.jobs, None if given.seconds is None else time.monotonic() + given.seconds,
            tuple(given.words),
        )  # fmt: skip
        chosen = [task for task in TASKS if not given.tasks or task.name in given.tasks]
        if any(task.kind == "real" for task in chosen) and not is_ready(given.data):
            parser.error(f"the data are not in {given.data}: call scripts/which-cell prepare")
        sys.exit(3 if run(chosen, terms, given.lanes) else 0)


if __name__ == "__main__":
    main()
