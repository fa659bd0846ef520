"""FASTA files for seqlab."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from seqlab import DataError, Format


class FASTAFormat(Format):
    r"""FASTA (Pearson and Lipman, 1988): headings that begin with ``>``, each with a sequence.

    A row has ``id`` (the heading's first word), ``sequence`` (its lines put together) and a
    column for each ``name=value`` of the heading.

    Args:
        upper: take letters as capitals, since small ones only mark masked regions.

    Example:
        >>> import io
        >>> list(FASTAFormat().read(io.BytesIO(b">p1 class=a\nMV\nls\n"), "a.fasta"))
        [(1, {'id': 'p1', 'class': 'a', 'sequence': 'MVLS'})]
    """

    suffixes = (".fa", ".faa", ".fna")

    def __init__(self, *, upper: bool = True) -> None:
        self._upper = upper

    def read(self, stream: BinaryIO, file: str) -> Iterator[tuple[int, dict[str, Any] | DataError]]:
        """A row for each heading."""
        begin, heading, parts = 0, "", list[str]()
        for line, data in enumerate(stream, start=1):
            try:
                text = data.decode("ascii").strip()
            except UnicodeDecodeError:
                yield line, DataError(f"{file} line {line}: FASTA is plain ASCII text")
                continue
            if text.startswith(">"):
                if begin:
                    yield begin, self._row(heading, parts, f"{file} line {begin}")
                begin, heading, parts = line, text[1:], []
            elif text and not begin:
                raise DataError(f"{file} line {line}: expected a heading that begins with '>'")
            else:
                parts.append(text)
        if begin:
            yield begin, self._row(heading, parts, f"{file} line {begin}")

    def _row(self, heading: str, parts: list[str], where: str) -> dict[str, Any] | DataError:
        identity, *facts = heading.split() or [""]
        sequence = "".join(parts)
        if not identity or not sequence:
            return DataError(f"{where}: a {'sequence' if identity else 'name'} is missing")
        pairs = dict(fact.split("=", 1) for fact in facts if "=" in fact)
        return {"id": identity, **pairs, "sequence": sequence.upper() if self._upper else sequence}

    @staticmethod
    def example() -> bytes:
        """Two proteins."""
        return b">p1 class=globin\nMVLSPADKTN\nVKAAW\n>p2 class=other\nmkwvtfisll\n"
