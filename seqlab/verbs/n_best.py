"""N-best lists, as Moses writes them and rerankers read them (Koehn et al. 2007).

    0 ||| the best answer to the first input ||| log_p= -1.25 ||| -1.25
    0 ||| the second answer to it ||| log_p= -2.5 ||| -2.5
    1 ||| ...

The number is that of the input, counted from 0; what stands before the last number is its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.errors import ConfigError

#: How the name of a file of this form ends.
N_BEST = ".nbest"
_BETWEEN = " ||| "


def check_n_best(trained: Any) -> None:
    """See that the answers are texts, one list for each input.

    Raises:
        ConfigError: they are not.
    """
    kind = trained.processor.info.target.kind
    if kind != "tokens" or trained.processor.transforms:
        reason = "its data have transforms" if kind == "tokens" else f"a target of kind {kind}"
        raise ConfigError(
            f"output: an n-best list ({N_BEST}) holds texts, and this bundle has not one list of "
            f"them for each input ({reason}); choose a name that ends in .jsonl"
        )


def n_best_lines(answers: Sequence[Mapping[str, Any]], first: int) -> bytes:
    r"""The lines of some inputs.

    Args:
        answers: to them; of each its ``alternatives``, or the one answer where it has none.
        first: the number of the first input.

    >>> n_best_lines([{"text": "a || b", "score": -1.5}], 7).decode()
    '7 ||| a || b ||| log_p= -1.5 ||| -1.5\n'
    """
    lines = []
    for number, answer in enumerate(answers, first):
        for one in answer.get("alternatives", [answer]):
            text, score = _on_a_line(one["text"]), f"{one['score']:.8g}"
            lines.append(_BETWEEN.join([str(number), text, f"log_p= {score}", score]) + "\n")
    return "".join(lines).encode("utf-8", errors="backslashreplace")


def _on_a_line(text: str) -> str:
    """A text that neither ends the line nor the field."""
    return " ".join(text.splitlines()).replace("|||", "| | |")
