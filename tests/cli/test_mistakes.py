"""Every mistake: one exact line on standard error, exit code 2, and nothing left behind."""

from __future__ import annotations

import pytest
from seqlab import registry

TRAINER = (
    "(known: accelerator, accumulate_grad_batches, benchmark, check_val_every_n_epoch, "
    "detect_anomaly, deterministic, devices, enable_progress_bar, gradient_clip_algorithm, "
    "gradient_clip_val, limit_test_batches, limit_train_batches, limit_val_batches, "
    "log_every_n_steps, max_epochs, max_seconds, max_steps, num_nodes, num_sanity_val_steps, "
    "num_threads, overfit_batches, precision, strategy, val_check_interval)"
)


KEYS = (
    "(known: callbacks, cell, data, encoder, experiment, head, logger, optimizer, report, resume, "
    "samples, scheduler, seed, source, start, sweep, trainer, wrapper)"
)


QUOTE = "; values with commas, braces or '=' need quotes, as in \"key='a, b'\""


EXACT = [
    (
        ["trainer.max_epoch=3"],
        f"trainer.max_epoch: unknown key, did you mean 'max_epochs'? {TRAINER}",
    ),
    (
        ["trainer.max_epochs=a"],
        "trainer.max_epochs: expected an int of at least 1 or 'auto' or null, got 'a'",
    ),
    (
        ["trainer.max_steps=-2"],
        "trainer.max_steps: expected an int of at least 1, or -1 for no limit, got -2",
    ),
    (
        ["trainer.max_epochs=null"],
        "trainer: give one of max_epochs, max_steps or max_seconds, or training has no end",
    ),
    (
        ["cell.hidden_size=abc"],
        "encoder.cell.hidden_size: expected an int of at least 1, got 'abc'",
    ),
    (["cell.use_bias=3"], "encoder.cell.use_bias: expected true or false, got 3"),
    (["~cell.hidden_size"], "encoder.cell: cell 'lstm' needs hidden_size"),
    (["encoder.cell=3"], "encoder.cell: expected a mapping or a string, got 3"),
    (
        ["encoder.wrappers.5.name=stacked"],
        (
            "encoder.wrappers[5]: the list has no such entry (the first is 0); "
            "a new one needs the whole list"
        ),
    ),
    (
        ["encoder.wrapers=[]"],
        (
            "encoder.wrapers: unknown key, did you mean 'wrappers'? "
            "(known: cell, dropout, embedding, engine, initial_state, input_layer, wrappers)"
        ),
    ),
    (
        ["wrapper=stacked", "wrappers.0.num_layer=2"],
        (
            "encoder.wrappers[0]: wrapper 'stacked' has no option 'num_layer': did you mean "
            "'num_layers'? (known: dropout, layers, num_layers, residual)"
        ),
    ),
    (
        ["embedding.sise=3"],
        (
            "encoder.embedding.sise: unknown key, did you mean 'size'? "
            "(known: dropout, features, size, word_dropout)"
        ),
    ),
    (
        ["source.row=3"],
        "source: source 'toy' has no option 'row': did you mean 'rows'? (known: path, rows)",
    ),
    (["source.rows=many"], "source.rows: expected an int, got 'many'"),
    (["~source.path"], "source: source 'toy' needs path"),
    (["head.smoothing=much"], "head.smoothing: expected a number, got 'much'"),
    (
        ["optimizer.name=adamm"],
        (
            "optimizer.name: unknown optimizer 'adamm': did you mean 'adam'? "
            f"(known: {', '.join(registry.available('optimizer'))}); one from "
            "a plugin needs its distribution installed (pip install ...), see `seqlab list "
            "kind=optimizer`"
        ),
    ),
    (
        ["optimizer=sgd", "optimizer.betas=[0.9,0.99]"],
        (
            "optimizer: optimizer 'sgd' has no option 'betas': known: fused, lr, momentum, "
            "nesterov, weight_decay"
        ),
    ),
    (["optimizer.lr=fast"], "optimizer.lr: expected a number above 0, got 'fast'"),
    (
        ["trainer.accelerator=gpuu"],
        (
            "trainer.accelerator: expected one of 'auto', 'cpu', 'gpu', 'cuda', 'mps', got 'gpuu', "
            "did you mean 'gpu'?"
        ),
    ),
    (
        ["callbacks.early_stopping.patence=3"],
        (
            "callbacks.early_stopping: callback 'early_stopping' has no option 'patence': did you "
            "mean 'patience'? (known: min_delta, mode, monitor, patience)"
        ),
    ),
    (
        ["callbacks.early_stoping.patience=3"],
        (
            "callbacks.early_stoping: unknown callback 'early_stoping': did you mean "
            f"'early_stopping'? (known: {', '.join(registry.available('callback'))}); one from "
            "a plugin needs its distribution "
            "installed (pip install ...), see `seqlab list kind=callback`"
        ),
    ),
    (
        ["callbacks.early_stopping=5"],
        ("callbacks.early_stopping: expected a mapping of options, true, false or null, got 5"),
    ),
    (
        ["logger.tensorboard=maybe"],
        ("logger.tensorboard: expected a mapping of options, true, false or null, got 'maybe'"),
    ),
    (["data.batch_size=big"], "data.batch_size: expected an int of at least 1, got 'big'"),
    (["seed=???"], "seed: no value was given; give it as seed=... on the command line"),
    (
        ["source.path=???"],
        "source.path: no value was given; give it as source.path=... on the command line",
    ),
    (["celll=gru"], f"celll: unknown key or group, did you mean 'cell'? {KEYS}"),
    (["trianer.max_epochs=3"], f"trianer: unknown key or group, did you mean 'trainer'? {KEYS}"),
    (["seed=${nope}"], "seed: Interpolation key 'nope' not found"),
    (["foo"], "'foo' is not an override: expected key=value or group=choice"),
    (["two words"], "'two words' is not an override: expected key=value or group=choice"),
    (
        ["seed=[1"],
        f"cannot read the override 'seed=[1': no viable alternative at input '[1'{QUOTE}",
    ),
    (
        ["seed=1,2"],
        (
            "'seed=1,2' has several values: add -m to run each, write seed=[1,2] for a list, "
            "or quote the text"
        ),
    ),
    (["seed=range(1,3)"], "'seed=range(1,3)' has several values: add -m to run each"),
    (["+cell=gru"], "cell: the group has a choice already; give cell=NAME without '+'"),
    (["--config-dir", "nowhere"], "Additional config directory '{cwd}/nowhere' not found"),
    (["--config-name", "mine"], "there is no config named 'mine' (option --config-name)"),
    (
        ["--zzzzz"],
        "--zzzzz: there is no such option; keys are given without dashes: zzzzz=VALUE",
    ),
    (["--seed", "3"], "--seed: keys are given without dashes: seed=3"),
    (["--experiment", "g2p"], "--experiment: keys are given without dashes: experiment=g2p"),
    (["--cell=gru"], "--cell=gru: keys are given without dashes: cell=gru"),
    (["-cell=gru"], "-cell=gru: keys are given without dashes: cell=gru"),
    (
        ["-cell.hidden_size=4"],
        "-cell.hidden_size=4: keys are given without dashes: cell.hidden_size=4",
    ),
    (
        ["--batch-size", "8"],
        "--batch-size: there is no such option; keys are given without dashes: data.batch_size=8",
    ),
    (["--multirn"], "--multirn: there is no such option, did you mean '--multirun'?"),
    (["lr=0.1"], "lr: unknown key or group, did you mean optimizer.lr=...?"),
    (["batch_size=8"], "batch_size: unknown key or group, did you mean data.batch_size=...?"),
    (["epochs=3"], "epochs: unknown key or group, did you mean trainer.max_epochs=...?"),
    (
        ["g2p"],
        (
            "'g2p' is not an override: expected key=value or group=choice, did you mean "
            "experiment=g2p or source=g2p?"
        ),
    ),
    (
        ["seed", "=3"],
        (
            "'seed' is not an override: expected key=value or group=choice; no space may stand "
            "around '=': seed=..."
        ),
    ),
    (
        ["-m", "--cfg", "job"],
        "Only one of --run, --multirun, --cfg, --info and --shell_completion can be specified",
    ),
    (
        ["--experimental-rerun", "x"],
        "--experimental-rerun reads a pickle file, which could run any code",
    ),
    (
        ["-m", "seed=1,2", "trainer=ddp"],
        (
            "trainer: a sweep (-m) cannot run jobs on several devices (devices=auto, "
            "strategy=ddp); start the runs one by one, or use trainer.devices=1 "
            "trainer.strategy=auto"
        ),
    ),
    (
        ["-m", "cell.hidden_size=3,wide"],
        "encoder.cell.hidden_size: expected an int of at least 1, got 'wide'",
    ),
    (["hydra.runn.dir=x"], None),
    (["optimizer@foo=adam"], None),
    (["data.features=3"], None),
    (["data.batch_sise=3"], None),
    (["=3"], None),
    (["~optimizer"], None),
]


@pytest.mark.parametrize(("words", "message"), EXACT, ids=[" ".join(words) for words, _ in EXACT])
def test_one_line_and_exit_code_2(train, tmp_path, words, message):
    outcome = train(*words)
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert outcome.out == ""
    if message is not None:
        assert outcome.err == f"error: {message.replace('{cwd}', str(tmp_path))}\n"
    assert train.calls == []
    assert list(tmp_path.iterdir()) == []


UNKNOWN_CHOICES = [
    ("cell=lsmt", "cell=lsmt: there is no such cell, did you mean 'lstm'?"),
    ("wrapper=stackd", "wrapper=stackd: there is no such wrapper, did you mean 'stacked'?"),
    ("head=toyhead", "head=toyhead: there is no such head, did you mean 'toy_head'?"),
    ("source=toi", "source=toi: there is no such source, did you mean 'toy'?"),
    ("optimizer=adamx", "optimizer=adamx: there is no such optimizer, did you mean 'adam"),
    ("experiment=zzz", "experiment=zzz: there is no such experiment, known: "),
    ("cell.name=lsmt", "encoder.cell.name: unknown cell 'lsmt': did you mean 'lstm'?"),
]


@pytest.mark.parametrize(("word", "start"), UNKNOWN_CHOICES)
def test_an_unknown_choice_is_answered_with_the_nearest(train, tmp_path, word, start):
    outcome = train(word)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {start}")
    assert outcome.err.count("\n") == 1
    if word.startswith("cell"):
        assert "`seqlab list kind=cell`" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(train, monkeypatch):
    monkeypatch.setenv("SEQLAB_DEBUG", "1")
    outcome = train("trainer.max_epoch=3")
    assert outcome.code == 2
    assert "Traceback" in outcome.err
    assert "OptionError: trainer.max_epoch: unknown key" in outcome.err


@pytest.mark.parametrize("word", ["=gru", "+=gru"])
def test_an_override_without_a_key(command, word):
    outcome = command("train", word, "--cfg", "job")
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1)
    assert "key=value" in outcome.err
