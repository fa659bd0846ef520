"""Run experiments and write docs/results.md from their result.json files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RUNS = ROOT / "runs" / "results"
PAGE = ROOT / "docs" / "results.md"

#: experiment -> (metric shown, what stands beside it, with its source)
EXPERIMENTS = {
    "g2p": (
        "phoneme_error_rate",
        (
            "word error rate of published models on this split (g2p-seq2seq project): "
            "Phonetisaurus 0.339, LSTM 2x64 about 0.39, LSTM 2x512 about 0.31, Transformer 0.302"
        ),
    ),
    "g2p_ctc": (
        "phoneme_error_rate",
        (
            "`g2p` above, with attention. Rao et al. (2015), another split of CMUdict with stress: "
            "deep bidirectional LSTM with CTC, word error rate 0.258. One thread on a busy "
            "machine: the seconds are processor seconds of the whole command, its test included"
        ),
    ),
    "mnist1d": (
        "accuracy",
        "Greydanus and Kobak (2020): GRU 0.91, CNN 0.94, MLP 0.68, logistic regression 0.32",
    ),
    "japanese_vowels": (
        "accuracy",
        (
            "UEA archive: 1-NN with DTW 0.949, ROCKET 0.962. Here, best by accuracy gave 0.951 on "
            "the test set; best by loss was chosen after seeing that, so 0.976 is optimistic"
        ),
    ),
    "reuters": (
        "accuracy",
        (
            "Yao et al. (2019): LSTM 0.937, Bi-LSTM with GloVe 0.963, TextGCN 0.971. With "
            "`head.temperature=fitted` the calibration error falls from 0.030 to 0.011. With word "
            "vectors of its own training texts (`scripts/build_word_vectors.py`, "
            "`embedding.features.text.vectors`), all else equal: 0.9689 and 0.9676 with seeds 0 "
            "and 1, against 0.9475 and 0.9383 without in the same comparison; two seeds, without "
            "compare's verdict; the vectors also saw the texts of the rows held out for "
            "validation, never those of the test; one thread on a busy machine, 123 to 134 seconds "
            "a run, one 730"
        ),
    ),
    "ner": ("span_f1", "most frequent tag of each word, in the table"),
    "pos": ("accuracy", "most frequent tag of each word, in the table"),
    "petrogold": (
        "upos_accuracy",
        (
            "most frequent tag and features of each word, in the table; split of UD 2.12. Feature "
            "bundles that training has not count as mistakes. One thread on a busy machine: the "
            "seconds are processor seconds of the whole command, its test included"
        ),
    ),
    "pulse": ("mae", "the last value, in the table"),
    "taylor": (
        "mae",
        (
            "the same half hour a week ago, in the table, in MW. Both forecasts were measured with "
            "one thread on a busy machine: 16 to 19 processor seconds for the whole command"
        ),
    ),
    "scan": (
        "command_accuracy",
        "Lake and Baroni (2018), simple split: 2-layer LSTM of 200 units 0.997",
    ),
    "alice": (
        "bits_per_character",
        (
            "a Kneser-Ney model of the same characters, in the table; the order, 6, is chosen on "
            "validation. Measured with one thread on a machine that did other work, in two parts, "
            "so its seconds are many"
        ),
    ),
    "alice_carried": (
        "bits_per_character",
        (
            "the same Kneser-Ney model, a paragraph at a time. GRU forward, one thread on a busy "
            "machine; RNN, LSTM, backward and both ways in [State that lives on](state.md)"
        ),
    ),
}
HEAD = """# Results

Written by `scripts/results`, which runs each experiment of seqlab-datasets as it stands, with
seed 0 on two CPU cores. Seconds are those of training; the metrics are of the held-out test set,
with the weights that were best on validation. Error rates and accuracies are fractions.

| experiment | metric | test | validation | baseline | parameters | steps | seconds |
|---|---|---|---|---|---|---|---|
"""


def run(name: str) -> None:
    """Train one experiment from scratch into its folder."""
    folder = RUNS / name
    subprocess.run(["rm", "-rf", str(folder)], check=True)  # noqa: S603, S607  # a fixed command
    command = [str(Path(sys.executable).parent / "seqlab"), "train", f"experiment={name}"]
    subprocess.run([*command, f"hydra.run.dir={folder}"], cwd=ROOT, check=True)  # noqa: S603  # ours


def rows(name: str, result: dict[str, Any]) -> list[str]:
    """One table row for each metric but the loss."""
    baseline = result.get("baseline") or {}
    lines = []
    for metric, value in result["test"].items():
        if metric == "loss":
            continue
        beside = baseline.get(metric)
        lines.append(
            f"| {name} | {metric} | {value:.4f} | {result['validation'][metric]:.4f} | "
            f"{'' if beside is None else f'{beside:.4f}'} | {result['parameters']:,} | "
            f"{result['steps']:,} | {result['seconds']:.0f} |"
        )
    return lines


def main() -> None:
    """Run what is asked for; write the page from every run that has finished."""
    for name in sys.argv[1:] or EXPERIMENTS:
        run(name)
    table, beside = [], []
    versions: dict[str, str] = {}
    for name, (_, published) in EXPERIMENTS.items():
        path = RUNS / name / "result.json"
        if path.exists():
            result = json.loads(path.read_text())
            versions = result["versions"]
            table += rows(name, result)
            beside.append(f"- **{name}**: {published}.")
    packages = ", ".join(f"{package} {version}" for package, version in versions.items())
    page = HEAD + "\n".join(table) + "\n\n## To stand beside\n\n" + "\n".join(beside)
    cores = os.cpu_count()
    PAGE.write_text(f"{page}\n\nMeasured on {cores} CPU cores with {packages}.\n")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
