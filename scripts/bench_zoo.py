"""Times the cells of plugins/seqlab-zoo beside torchrecurrent's layers and torch's GRU.

python scripts/bench_zoo.py docs/zoo.json          all cells, two sizes, one thread
python scripts/bench_zoo.py --page docs/zoo.md docs/zoo.json       the table of that page, from it

Forward and backward, processor time of one thread, contestants in turns (``bench_timing``).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import seqlab
import torch
from seqlab import registry
from seqlab.introspection.card import cell_card
from torch import nn

from bench_timing import paired, rows, step

#: Batch, steps, inputs and units.
SIZES = ((8, 10, 16, 16), (32, 50, 128, 128))
ROUNDS = 7
#: The names that torchrecurrent gives the cells it has.
THEIRS = {
    "antisymmetric_rnn": "AntisymmetricRNN", "atr": "ATR", "br": "BR", "cfn": "CFN",
    "cornn": "coRNN", "dsgu": "DSGU", "fast_grnn": "FastGRNN", "fast_rnn": "FastRNN",
    "gated_antisymmetric_rnn": "GatedAntisymmetricRNN", "ind_rnn": "IndRNN",
    "intersection_rnn": "IntersectionRNN", "janet": "JANET", "lem": "LEM", "li_gru": "LiGRU",
    "light_ru": "LightRU", "mc_lstm": "MCLSTM", "mgu": "MGU", "minimal_rnn": "MinimalRNN",
    "miru1": "MiRU1", "miru2": "MiRU2", "multiplicative_lstm": "MultiplicativeLSTM",
    "mut1": "MUT1", "mut2": "MUT2", "mut3": "MUT3", "nas": "NAS", "nbr": "NBR",
    "original_lstm": "OriginalLSTM", "peephole_lstm": "PeepholeLSTM", "ran": "RAN",
    "res_lstm": "ResLSTM", "scrn": "SCRN", "sgrn": "SGRN", "sgu": "SGU", "star": "STAR",
    "tau_gru": "tauGRU", "tgru": "TGRU", "tlstm": "TLSTM", "trnn": "TRNN", "ugrnn": "UGRNN",
    "unicornn": "UnICORNN", "wmc_lstm": "WMCLSTM",
}  # fmt: skip
HEADS = {"mlstm": 4, "gla": 4, "delta_net": 4, "gated_delta_net": 4, "slstm": 4}
START, END = "<!-- table -->", "<!-- end of table -->"


def names() -> list[str]:
    """The cells of the collection, and MGU."""
    owned = [
        name
        for name in registry.available("cell")
        if registry.owner_of("cell", name)[0] == "seqlab-zoo"
    ]
    return sorted({*owned, "mgu"} - {"gru_d"})  # whose inputs are not as wide as others'


def measure(name: str, size: tuple[int, int, int, int]) -> dict[str, object]:
    """One cell at one size: milliseconds, and ratios to the others."""
    import torchrecurrent

    batch, steps, inputs, units = size
    options = {"heads": HEADS[name]} if name in HEADS else {}
    x = torch.randn(batch, steps, inputs)
    x[..., -1].abs_()  # a gap or a time, where it is one
    cell = registry.get("cell", name)(inputs, units, **options)
    layer = seqlab.Recurrent(cell, engine=_engine(cell))
    calls = {"seqlab": step(layer, x), "gru": step(nn.GRU(inputs, units, batch_first=True), x)}
    if name in THEIRS:
        theirs = getattr(torchrecurrent, THEIRS[name])(inputs, units, batch_first=True)
        calls["torchrecurrent"] = step(theirs, x)
    times = paired(calls, ROUNDS)
    found = {"ms": rows(times, "gru")["seqlab"]["ms"], "gru": rows(times, "gru")["seqlab"]["ratio"]}
    if "torchrecurrent" in times:
        found["torchrecurrent"] = rows(times, "torchrecurrent")["seqlab"]["ratio"]
    return {**found, "engine": layer.explain(x).engine.name}


def _engine(cell: seqlab.Cell) -> str:
    """The fastest engine for long training, whatever it takes to compile."""
    if isinstance(cell, seqlab.GatedCell):
        return "compiled"
    linear = isinstance(cell, (seqlab.LinearRecurrentCell, seqlab.MatrixStateCell))
    return "scan" if linear else "loop"


def page(path: Path, results: dict[str, dict[str, dict[str, object]]]) -> None:
    """Write the table of the page anew."""
    lines = [
        START,
        "",
        "| cell | parameters | engine | ms | / GRU | / tr | small: ms | / GRU | / tr |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, sizes in results.items():
        small, large = (sizes[" ".join(map(str, size))] for size in SIZES)
        card = cell_card(name, {"heads": HEADS[name]} if name in HEADS else None)
        times = [f"{s['ms']} | {s['gru']} | {s.get('torchrecurrent', '')}" for s in (large, small)]
        link = f"[{name}](reference/zoo/{name}.md)" if name != "mgu" else name
        lines.append(f"| {link} | {card.size} | {large['engine']} | {' | '.join(times)} |")
    text = path.read_text(encoding="utf-8")
    head, tail = text.split(START)[0], text.split(END)[1]
    path.write_text(head + "\n".join([*lines, "", END]) + tail, encoding="utf-8")


def main(words: list[str]) -> None:
    """See the module."""
    if words[0] == "--page":
        page(Path(words[1]), json.loads(Path(words[2]).read_text(encoding="utf-8")))
        return
    torch.set_num_threads(1)
    results: dict[str, dict[str, dict[str, object]]] = {}
    for name in names():
        torch.manual_seed(1)
        results[name] = {" ".join(map(str, size)): measure(name, size) for size in SIZES}
        print(name, results[name], flush=True)
        Path(words[0]).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
