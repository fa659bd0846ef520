"""What a step of ``generate`` costs beside a bare loop over torch's cell, which samples, too.

    OMP_NUM_THREADS=1 .venv/bin/python scripts/bench_generate.py

One row, 76 characters and marks, embeddings of 64, 256 units, float32, no early end; loops take
turns, and a round's ratio is that of its two times. Processor time of one thread.
"""

from __future__ import annotations

import statistics
import sys

import torch
from seqlab.build import build_model
from seqlab.bundle import TrainedModel
from seqlab.data.processor import fit_processor
from torch import nn

from bench_timing import paired

UNITS, EMBEDDING, STEPS, ROUNDS = 256, 64, 400, 31


def trained(cell: str) -> TrainedModel:
    """A language model that is drawn, not trained, and ends no text."""
    data = {"features": {"text": {"tokenizer": "chars"}}, "target": {"kind": "inputs"}}
    letters = "".join(chr(code) for code in range(32, 108))
    processor = fit_processor(data, [{"text": letters}])
    encoder = {"cell": {"name": cell, "hidden_size": UNITS}, "embedding": {"size": EMBEDDING}}
    spec = {"data": data, "encoder": encoder, "head": {"name": "language_model"}}
    model = build_model(spec, processor.info).eval()
    with torch.no_grad():
        model.head.vocabulary.output.bias[processor.info.target.eos] = -1e4
    return TrainedModel(model, processor, spec)


class Bare(nn.Module):
    """Embedding, torch's cell, linear map, softmax, a draw: nothing else."""

    def __init__(self, cell: str, size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(size, EMBEDDING)
        self.cell = (nn.LSTMCell if cell == "lstm" else nn.GRUCell)(EMBEDDING, UNITS)
        self.output = nn.Linear(UNITS, size)

    @torch.inference_mode()
    def generate(self) -> list[int]:
        """The ids of a text."""
        token, state, found = torch.tensor([2]), None, []
        for _ in range(STEPS):
            state = self.cell(self.embedding(token), state)
            hidden = state[0] if isinstance(state, tuple) else state
            token = torch.multinomial(self.output(hidden).softmax(-1), 1).squeeze(1)
            found.append(token)
        return torch.cat(found).tolist()


def main() -> None:
    """Print a line for each cell."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for cell in ("lstm", "gru"):
        model = trained(cell)
        bare = Bare(cell, model.processor.info.target.size)
        calls = {"bare": bare.generate, "generate": lambda m=model: m.generate(max_length=STEPS)}
        times = paired(calls, ROUNDS)
        each = {name: statistics.median(values) / STEPS * 1e3 for name, values in times.items()}
        ratios = [g / b for g, b in zip(times["generate"], times["bare"], strict=True)]
        sys.stdout.write(
            f"{cell}: bare {each['bare']:.0f} us, generate {each['generate']:.0f} us a token, "
            f"median ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to "
            f"{max(ratios):.2f}, {ROUNDS} rounds)\n"
        )


if __name__ == "__main__":
    main()
