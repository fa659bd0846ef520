"""The command line: ``seqlab VERB [key=value ...]``.

Exit codes: 0 success, 2 a user's mistake (one line on standard error), 130 interrupted,
1 a fault of the program (with a traceback). ``SEQLAB_DEBUG=1`` shows the traceback of mistakes too.
"""

from __future__ import annotations

import codecs
import contextlib
import importlib
import io
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import seqlab
from seqlab.collector import end_without_looking
from seqlab.errors import ConfigError, RunError, SeqlabError, did_you_mean

if TYPE_CHECKING:
    from seqlab.config.app import App

DEBUG_VARIABLE = "SEQLAB_DEBUG"
OK, MISTAKE, INTERRUPTED, PIPE_CLOSED = 0, 2, 130, 141
_COMPLETION = {"--shell-completion", "-sc"}


class Verb(NamedTuple):
    """What a verb does, in a line, and its primary Hydra config (None: it takes key=value only).

    The verb itself is ``run`` in ``seqlab/verbs/<name>.py``: ``run(spec, run_dir)`` for a verb
    with a config, ``run(words) -> int | None`` for one without, whose help is ``HELP``, and whose
    keys and values may be published as ``CHOICES`` for completion. Where standard output is the
    answer itself (``answers``), nothing about progress is written there.
    """

    help: str
    config: str | None = None
    answers: bool = True


VERBS = {
    "train": Verb(
        "train a model: experiment=NAME, or source=, data=, head=", "config", answers=False
    ),
    "evaluate": Verb(
        "measure a bundle: bundle=DIR [source=NAME] [split=test]", "evaluate", answers=False
    ),
    "predict": Verb("predict with a bundle: bundle=DIR input=FILE output=FILE", "predict"),
    "score": Verb("how probable texts are to a language model: bundle=DIR input=FILE", "score"),
    "generate": Verb("texts by a language model: bundle=DIR [prompt=TEXT] [n=1]", "generate"),
    "compare": Verb(
        "contestants on the same seeds: experiment=NAME cell=lstm,gru, or runs=DIR",
        "compare",
        answers=False,
    ),
    "crossvalidate": Verb(
        "mean and interval over folds: experiment=NAME folds=5 [stratify=COLUMN|group=COLUMN]",
        "crossvalidate",
        answers=False,
    ),
    "sweep": Verb(
        "search a space of configs: experiment=NAME sweep.space={...} sweep.trials=20",
        "sweep",
        answers=False,
    ),
    "rate": Verb("a learning rate to begin with: experiment=NAME ...", "rate", answers=False),
    "inspect": Verb(
        "look inside a trained model: bundle=DIR input=FILE [output=DIR]", answers=False
    ),
    "gradients": Verb(
        "how far back gradients reach: cell=rnn,lstm,gru [length=200]", answers=False
    ),
    "list": Verb("list what is installed: [kind=cell] [format=text|json]; or one part: cell=lstm"),
    "explain": Verb("show which engine runs each layer, and why: experiment=NAME ...", "explain"),
    "export": Verb("a bundle as a graph: bundle=DIR format=onnx|torch_export|step [output=DIR]"),
    "new-plugin": Verb("write a plugin to start from: cell|wrapper|head|... NAME [output=DIR]"),
    "certify": Verb("run the conformance kit: cell=NAME [format=text|json|html] [output=FILE]"),
    "push": Verb("a bundle to the Hugging Face Hub: bundle=DIR to=OWNER/NAME [private=true]"),
    "convert": Verb("weights of Keras and torch: input=FILE output=PATH [layer=NAME]"),
    "doctor": Verb("check this installation: [device=true] [format=text|json]"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: the words after ``seqlab``; None: those this process was started with.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if argv is None:
        end_without_looking()
    _open_streams()
    try:
        with _short_warnings():
            code = _code(words)
        sys.stdout.flush()
    except SeqlabError as error:
        return _report(error)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return PIPE_CLOSED
    except Exception as error:  # noqa: BLE001 - told in a line, or raised again
        return _failed(error)
    return code


def _code(words: list[str]) -> int:
    try:
        return _dispatch(words)
    except SystemExit as stop:
        return _stopped(stop)


def _open_streams() -> None:
    """Standard streams that were closed lead nowhere, and no file gets their numbers.

    What the encoding of standard output has no letter for is written as its number.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - never closed
    if isinstance(sys.stdout, io.TextIOWrapper) and _may_fail(sys.stdout):
        sys.stdout.reconfigure(errors="backslashreplace")


def _may_fail(stream: io.TextIOWrapper) -> bool:
    """Whether there are letters that end the program when they are written.

    The locale ``C`` has ``surrogateescape``, by which UTF-8 writes names of files as they are; an
    encoding with fewer letters writes what it has not by none but ``backslashreplace``.
    """
    unicode = codecs.lookup(stream.encoding).name.startswith("utf")
    return stream.errors == "strict" or (stream.errors == "surrogateescape" and not unicode)


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Warnings are one line for people: no file, no line of code."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, *_, **__: (
        f"warning: {' '.join(str(message).split())}\n"
    )
    try:
        yield
    finally:
        warnings.formatwarning = before


def _dispatch(words: list[str]) -> int:
    verb, rest = (words[0], words[1:]) if words else ("--help", [])
    if verb in {"--help", "-h", "help"}:
        sys.stdout.write(_usage())
    elif verb in {"--version", "-V", "version"}:
        sys.stdout.write(f"seqlab {seqlab.__version__}\n")
    elif verb in _COMPLETION:
        _complete(rest)
    elif verb not in VERBS:
        raise ConfigError(f"unknown verb '{verb}': {did_you_mean(verb, VERBS)}")
    elif rest and rest[0] in _COMPLETION:
        _complete(rest[1:])
    else:
        return _run(verb, rest)
    return OK


def _run(verb: str, words: list[str]) -> int:
    from seqlab.progress_display import shown

    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise RunError("the current folder is gone; change to one that is there") from error
    stream, patience = (sys.stderr, 15.0) if VERBS[verb].answers else (sys.stdout, 1.0)
    with shown(plain_to=stream, patience=patience):
        if (config := VERBS[verb].config) is not None:
            _app(verb, config).main(words)
            return OK
        module = importlib.import_module(f"seqlab.verbs.{verb.replace('-', '_')}")
        if {"--help", "-h"} & set(words):
            sys.stdout.write(module.HELP)
            return OK
        return int(module.run(words) or OK)


def _app(verb: str, config: str) -> App:
    if verb == "compare":
        from seqlab.config.comparison_app import ComparisonApp

        return ComparisonApp(verb, config)
    if verb == "crossvalidate":
        from seqlab.config.crossvalidation_app import CrossvalidationApp

        return CrossvalidationApp(verb, config)
    if verb == "sweep":
        from seqlab.config.sweep_app import SweepApp

        return SweepApp(verb, config)
    from seqlab.config.app import App

    return App(verb, config)


def _complete(words: list[str]) -> None:
    from seqlab.config.completion import complete

    complete(words, {name: verb.config for name, verb in VERBS.items()})


def _usage() -> str:
    verbs = "\n".join(f"  {name:<13} {verb.help}" for name, verb in VERBS.items())
    return (
        "usage: seqlab VERB [key=value ...]\n\n"
        f"{verbs}\n\n"
        "seqlab VERB --help lists a verb's config groups and keys; train, evaluate and predict\n"
        "take all of Hydra's options (-m, --cfg job, --info searchpath, --config-dir DIR, ...).\n"
        'Completion in bash: eval "$(seqlab -sc install=bash)"\n'
        f"{DEBUG_VARIABLE}=1 shows tracebacks. seqlab {seqlab.__version__}\n"
    )


def _stopped(stop: SystemExit) -> int:
    """The exit code of a library that ends the program, as argparse and Lightning do."""
    if isinstance(stop.__context__, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(stop.code, str):
        sys.stderr.write(f"{stop.code}\n")
    return stop.code if isinstance(stop.code, int) else int(stop.code is not None)


def _failed(error: Exception) -> int:
    """The exit code of a failure of the machine; any other is a fault of the program."""
    from seqlab.failures import machine_failure

    failure = machine_failure(error)
    if failure is None:
        raise error
    failure.__cause__ = error
    return _report(failure)


def _report(error: SeqlabError) -> int:
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    with contextlib.suppress(OSError):
        _say(error)
    return MISTAKE


def _drop_output() -> None:
    """What could not be written is not tried again when the process ends."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(error: SeqlabError) -> None:
    if os.environ.get(DEBUG_VARIABLE, "") not in {"", "0"}:
        import traceback

        traceback.print_exception(error)
    else:
        sys.stderr.write("error: " + " ".join(str(error).split()) + "\n")


if __name__ == "__main__":
    sys.exit(main())
