"""Stages of work: what is said of them, on a terminal and elsewhere."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading

import pytest
from rich.console import Console
from seqlab import progress
from seqlab.progress import Stage
from seqlab.progress_display import Lines, shown
from seqlab.progress_text import Line, plain
from tests.small_runs import words_spec

pty = pytest.importorskip("pty", reason="pseudo-terminals are of POSIX")


def training(done: int = 250) -> Stage:
    stage = Stage("training", 1000, unit="steps")
    stage.notes |= {"epoch": "3/10", "loss": "0.1234"}
    stage.done = done
    return stage


def drawn(stage: Stage, width: int, seconds: float = 10.0) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None)
    console.print(Line(stage, stage.began + seconds), end="")
    return file.getvalue()


@pytest.mark.parametrize("width", [8, 20, 24, 40, 50, 60, 80, 100, 200])
def test_a_line_fits_into_any_terminal(width):
    text = drawn(training(), width)
    assert text.count("\n") == 1
    assert len(text.rstrip("\n")) <= width
    assert text[2:].startswith("training"[: width - 3])


def test_a_wide_line_says_all_and_a_narrow_one_what_matters():
    wide, narrow = drawn(training(), 120), drawn(training(), 30)
    for words in ("epoch 3/10", "250/1,000 steps", "loss 0.1234", "25 steps/s", "0:30 left", "━"):
        assert words in wide
    assert "0:30 left" in narrow
    assert "epoch" not in narrow


def test_the_time_left_counts_limits_of_time_in():
    stage = training()
    assert stage.seconds_left(stage.began + 10) == pytest.approx(30)
    stage.seconds = 15.0
    assert stage.seconds_left(stage.began + 10) == pytest.approx(5)
    assert stage.fraction(stage.began + 10) == pytest.approx(2 / 3)


def test_a_resumed_run_is_as_fast_as_it_is_now():
    stage = Stage("training", 1000, unit="steps")
    stage.start_counting(800)
    stage.advance(100)
    assert stage.rate(stage.counting_since + 10) == pytest.approx(10)
    assert stage.seconds_left(stage.counting_since + 10) == pytest.approx(10)


def test_without_a_terminal_silence_doubles_between_lines():
    stream = io.StringIO()
    lines = Lines(stream, patience=1.0)
    stage = Stage("encoding", 100)
    lines.stages = [stage]
    heard = lines._heard
    said = []
    for tenth in range(1, 1300):
        before = stream.tell()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("seqlab.progress_display.time.monotonic", lambda t=tenth: heard + t / 10)
            lines.tick(heard + tenth / 10)
        if stream.tell() > before:
            said.append(tenth // 10)
    assert said == [1, 3, 7, 15, 31, 63, 123]
    lines.ended(stage)
    lines.close()


def test_a_line_printed_by_others_is_a_sign_of_life():
    stream = io.StringIO()
    lines = Lines(stream, patience=1.0)
    lines.stages = [training()]
    lines._heard = 100.0
    lines.tick(100.5)
    assert stream.getvalue() == ""
    lines.tick(101.5)
    assert stream.getvalue() == plain(lines.stages[0], 101.5) + "\n"


def test_nobody_is_shown_what_is_muted_and_no_thread_outlives_its_block():
    stream = io.StringIO()
    with shown(plain_to=stream, patience=0.0):
        assert progress.is_watched()
        with progress.muted(), progress.stage("silent"):
            assert not progress.is_watched()
        with (
            progress.stage("outer"),
            pytest.raises(ValueError, match="inner"),
            progress.stage("inner"),
        ):
            raise ValueError("inner")
    assert not progress.is_watched()
    assert "silent" not in stream.getvalue()
    assert not [t for t in threading.enumerate() if t.name == "progress"]


def test_other_processes_of_a_run_are_silent(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with shown(plain_to=sys.stdout, patience=0.0):
        assert not progress.is_watched()


def on_a_terminal(program: str, *arguments: str, stdout: int | None = None) -> tuple[int, str]:
    """The exit code of a Python program, and what it wrote to a terminal of 100 columns."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    with subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        stdin=subprocess.DEVNULL,
        env=environment,
    ) as running:
        os.close(theirs)
        found = b""
        while True:
            try:
                part = os.read(ours, 4096)
            except OSError:  # the other side has closed it
                break
            if not part:
                break
            found += part
    os.close(ours)
    return running.returncode, found.decode()


LONG = """
import sys, time
from seqlab import progress
from seqlab.progress_display import shown
with shown(plain_to=sys.stdout, patience=1.0):
    with progress.stage("encoding", 10, summary=False) as stage:
        print("a line of the program")
        while stage.done < 10:
            stage.advance()
            time.sleep(0.06)
    print("the result")
"""


def test_a_terminal_shows_a_stage_and_is_left_clean():
    code, text = on_a_terminal(LONG)
    assert code == 0
    assert "encoding" in text
    assert "/10 rows" in text
    assert "a line of the program\r\n" in text
    assert text.endswith("the result\r\n")
    last = text.rindex("encoding")
    assert "\x1b[2K" in text[last:], "the live line stays behind"


def test_output_that_goes_to_a_file_gets_nothing_of_it(tmp_path):
    with (tmp_path / "out").open("wb") as out:
        code, text = on_a_terminal(LONG, stdout=out.fileno())
    assert (code, (tmp_path / "out").read_text()) == (0, "a line of the program\nthe result\n")
    assert "encoding" in text


TRAIN = """
import json, sys
from seqlab.progress_display import shown
from seqlab.training.run import train
for at in range(1, len(sys.argv), 2):
    with shown(plain_to=sys.stdout, patience=1.0):
        train(json.load(open(sys.argv[at])), sys.argv[at + 1])
    print("== the next run")
"""


def test_a_run_shows_training_validation_and_test_or_is_silent(tmp_path):
    given = []
    for name, shows in (("shown", True), ("silent", False)):
        spec = words_spec(tmp_path)
        spec["trainer"]["enable_progress_bar"] = shows
        spec["report"] = False
        (tmp_path / f"{name}.json").write_text(json.dumps(spec))
        given += [str(tmp_path / f"{name}.json"), str(tmp_path / name)]
    code, text = on_a_terminal(TRAIN, *given)
    assert code == 0, text
    shown, silent, _ = text.split("== the next run")
    for words in ("reading", "vocabulary of word", "encoding train", "training", "epoch 1/3"):
        assert words in shown
    for words in ("validation", "test", "steps"):
        assert words in shown
    assert "encoding" not in silent
    assert "\x1b[2K" not in silent
