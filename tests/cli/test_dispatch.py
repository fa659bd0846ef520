"""The command as a program: verbs, exit codes, signals, completion."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import types

import pytest
import seqlab
from seqlab.cli import VERBS
from seqlab.config.completion import candidates

CONFIGS = {name: verb.config for name, verb in VERBS.items()}
BASH = shutil.which("bash")
SEQLAB = [sys.executable, "-m", "seqlab"]


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",), ("help",)])
def test_usage_names_every_verb(command, words):
    outcome = command(*words)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("usage: seqlab VERB [key=value ...]")
    for name, verb in VERBS.items():
        assert f"  {name:<13} {verb.help}\n" in outcome.out


def test_version(command):
    assert command("--version").out == f"seqlab {seqlab.__version__}\n"


@pytest.mark.parametrize(
    ("verb", "tail"),
    [
        ("trian", f"did you mean 'train'? (known: {', '.join(sorted(VERBS))})"),
        ("experiment=g2p", f"known: {', '.join(sorted(VERBS))}"),
    ],
)
def test_an_unknown_verb(command, verb, tail):
    outcome = command(verb)
    assert (outcome.code, outcome.err) == (2, f"error: unknown verb '{verb}': {tail}\n")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(command, verb):
    outcome = command(verb, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert f"seqlab {verb}" in outcome.out


def test_evaluate_and_predict_get_their_spec_and_make_no_folder(command, monkeypatch, tmp_path):
    calls = []
    for name in ("evaluate", "predict"):
        verb = types.ModuleType(f"seqlab.verbs.{name}")
        verb.run = lambda spec, run_dir: calls.append((spec, run_dir))
        monkeypatch.setitem(sys.modules, f"seqlab.verbs.{name}", verb)
    assert command("evaluate", "bundle=b", "split=test", "limit=3").code == 0
    assert command("predict", "bundle=b", "search={name: beam, width: 4}").code == 0
    assert command("predict", "bundle=b", "search.width=8").code == 0
    (evaluate, where), (predict, _), (wider, _) = calls
    assert where == tmp_path
    assert (evaluate["split"], evaluate["limit"], evaluate["source"]) == ("test", 3, None)
    assert (evaluate["search"], predict["input"], predict["output"]) == (None, "-", "-")
    assert predict["search"] == {"name": "beam", "width": 4}
    assert wider["search"] == {"width": 8}
    assert list(tmp_path.iterdir()) == []


def test_file_names_with_hydras_signs_need_quotes_and_are_told_so(command):
    outcome = command("predict", "bundle=b", "input=a=b.csv")
    assert outcome.code == 2
    assert outcome.err.startswith("error: cannot read the override 'input=a=b.csv': ")
    assert "need quotes, as in \"key='a, b'\"" in outcome.err


def test_evaluate_with_another_source(command, monkeypatch, toy_parts):
    calls = []
    verb = types.ModuleType("seqlab.verbs.evaluate")
    verb.run = lambda spec, _: calls.append(spec)
    monkeypatch.setitem(sys.modules, "seqlab.verbs.evaluate", verb)
    assert command("evaluate", "bundle=b", "source=toy", "source.path=y", "source.rows=2").code == 0
    assert calls[0]["source"] == {"name": "toy", "path": "y", "rows": 2}
    outcome = command("evaluate", "bundle=b", "experiment=g2p")
    assert outcome.err.startswith("error: experiment: this command's config makes no choice of it")
    assert command("evaluate", "bundle=b", "source=toy", "source.pth=y").err.startswith(
        "error: source: source 'toy' has no option 'pth': did you mean 'path'?"
    )


def test_ctrl_c_ends_with_130(train, monkeypatch):
    def run(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["seqlab.verbs.train"], "run", run)
    outcome = train()
    assert (outcome.code, outcome.err) == (130, "interrupted\n")


def test_a_library_that_exits_after_ctrl_c_ends_with_130_too(train, monkeypatch):
    def run(*_):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            sys.exit(1)

    monkeypatch.setattr(sys.modules["seqlab.verbs.train"], "run", run)
    assert train().code == 130


def test_an_interrupt_from_outside():
    program = """
import sys, time
import seqlab.verbs.list as verb
from seqlab.cli import main
verb.run = lambda words: (print("on", flush=True), time.sleep(60))
sys.exit(main(["list"]))
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout.readline() == "on\n"
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (130, "interrupted\n")


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
def test_a_closed_pipe_is_quiet():
    done = subprocess.run(
        [BASH, "-c", f"{' '.join(SEQLAB)} list | true; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout in {"141\n", "0\n"}  # 0 when all was written before the pipe closed


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
def test_a_pipe_that_closes_during_predict_is_quiet(tmp_path):
    program = """
import sys, types
from seqlab.cli import main
verb = types.ModuleType("seqlab.verbs.predict")
verb.run = lambda spec, run_dir: [print("x" * 1000) for _ in range(1000)]
sys.modules["seqlab.verbs.predict"] = verb
sys.exit(main(["predict", "bundle=b"]))
"""
    (tmp_path / "program.py").write_text(program)
    piped = f"{sys.executable} program.py | head -c 10; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        [BASH, "-c", piped], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("x" * 10 + "141\n", "")


def test_the_installed_command_and_the_module_are_one():
    mistake = ["train", "trainer.max_epoch=3"]
    command = [os.path.join(os.path.dirname(sys.executable), "seqlab")]  # noqa: PTH118, PTH120
    outcomes = [
        subprocess.run([*start, *mistake], capture_output=True, text=True, check=False)
        for start in (SEQLAB, command)
    ]
    assert {outcome.returncode for outcome in outcomes} == {2}
    assert len({outcome.stderr for outcome in outcomes}) == 1
    assert outcomes[0].stderr.count("\n") == 1


COMPLETIONS = [
    ("seqlab ", {"train", "evaluate", "predict", "list", "doctor"}),
    ("seqlab", {"train", "list"}),
    ("seqlab tr", {"train"}),
    ("seqlab train cell=", {"cell=gru", "cell=lstm", "cell=rnn"}),
    ("seqlab train cell=l", {"cell=lstm"}),
    ("seqlab train -m wrapper=stacked optimizer=a", {"optimizer=adam", "optimizer=adamw"}),
    ("seqlab train cell.h", {"cell.hidden_size="}),
    ("seqlab train encoder.cell.h", {"encoder.cell.hidden_size="}),
    ("seqlab train wrapper=stacked wrappers.0.n", {"wrappers.0.name=", "wrappers.0.num_layers="}),
    ("seqlab train trainer.max_e", {"trainer.max_epochs="}),
    ("seqlab train cell=gru trainer.", {"trainer.max_epochs=", "trainer.devices="}),
    ("seqlab evaluate spl", {"split="}),
    ("seqlab predict inp", {"input="}),
    ("seqlab list kind=ce", {"kind=cell"}),
    ("seqlab list ", {"kind=cell", "format=json"}),
    ("seqlab doctor d", {"device=true", "device=false"}),
    ("seqlab nothing k", set()),
]


@pytest.mark.parametrize(("line", "expected"), COMPLETIONS)
def test_completion(line, expected):
    found = candidates(line, CONFIGS)
    assert expected <= set(found)
    last = "" if line.endswith(" ") else line.split()[-1]
    assert all(word.startswith(last) for word in found if last != "seqlab")
    assert bool(found) == bool(expected)


def test_completion_of_files(tmp_path):
    (tmp_path / "words.csv").write_text("")
    assert candidates(f"seqlab predict bundle=b input={tmp_path}/wo", CONFIGS) == [
        f"input={tmp_path}/words.csv"
    ]


@pytest.mark.parametrize("words", [("-sc", "query=bash"), ("train", "-sc", "query=bash")])
def test_the_query_form_that_shells_call(command, monkeypatch, words):
    monkeypatch.setenv("COMP_LINE", "seqlab train cell=min_g")
    assert command(*words).out == "cell=min_gru\n"
    assert os.environ["COMP_LINE"] == "seqlab train cell=min_g"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-sc"], "shell completion: expected install=SHELL, uninstall=SHELL or query=SHELL"),
        (
            ["-sc", "query=bsh"],
            "shell completion: expected one of 'bash', 'zsh', 'fish', got 'bsh', did you mean",
        ),
    ],
)
def test_wrong_completion_requests(command, words, message):
    outcome = command(*words)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {message}")


@pytest.mark.skipif(BASH is None, reason="there is no bash here")
def test_completion_in_a_real_bash():
    folder = os.path.dirname(sys.executable)  # noqa: PTH120  the scripts beside this Python
    script = """
        eval "$(seqlab -sc install=bash)"
        complete -p seqlab | grep -q hydra_bash_completion || exit 9
        COMP_LINE="seqlab train wrapper=bi" COMP_CWORD=2
        hydra_bash_completion
        echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(
        [BASH, "-c", script],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["wrapper=bidirectional", "wrapper=bidirectional_stacked"]
