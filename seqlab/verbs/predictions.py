"""``seqlab evaluate bundle=DIR predictions=FILE``: what was right, beside each answer."""

from __future__ import annotations

from itertools import islice
from typing import Any

from seqlab import progress
from seqlab.files import atomic_writer, json_line
from seqlab.target_names import SOLE

#: Batches that are sorted by length together.
_WINDOW = 16


def write_predictions(
    path: str, trained: Any, data: Any, split: str, *, batch_size: int, **options: Any
) -> None:
    """A JSON object for each row of a split, in order: ``{"input", "gold", <answer>}``.

    ``input`` holds the columns of the features, ``gold`` the target's column as it stands in the
    data, or all accepted answers where a column has them; of several targets, each by its name.
    The file is written whole or not at all.
    """
    view, spec, targets = data.rows(split), data.spec, trained.processor.targets
    rows, start = iter(view), 0
    with atomic_writer(path) as out, progress.stage("predictions", len(view)) as stage:
        while part := list(islice(rows, batch_size * _WINDOW)):
            inputs = [{name: row[name] for name in spec.input_columns} for row in part]
            answers = trained.answer_rows(
                inputs,
                lambda i, first=start: view.where(first + i),
                batch_size=batch_size,
                **options,
            )
            for row, shown, answer in zip(part, inputs, answers, strict=True):
                golds = {
                    name: row.get(target.references or "", row[target.column])
                    for name, target in targets.items()
                }
                line = {"input": shown, "gold": golds.get(SOLE, golds), **answer}
                out.write(json_line(line))
            start += len(part)
            stage.advance(len(part))
