"""What a run leaves: ``result.json``, the bundle, the page, and what is printed at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqlab import console
from seqlab.bundle import TrainedModel, save_bundle
from seqlab.bundle.manifest import versions
from seqlab.data.module import DataModule
from seqlab.files import write_json
from seqlab.heads.forecast import ForecastHead
from seqlab.measures import plain_numbers
from seqlab.model import SequenceModel
from seqlab.training import summary
from seqlab.training.baseline import baselines
from seqlab.training.checkpoints import Keeper
from seqlab.training.folder import RunFolder
from seqlab.training.module import TrainingModule
from seqlab.training.naive_forecasts import naive_forecasts
from seqlab.training.ngram import ngram_baseline
from seqlab.training.recorder import Recorder
from seqlab.training.report import Report

#: Test rows whose predicted numbers are drawn.
_NUMBERS = 200


@dataclass(frozen=True)
class Outcome:
    """A run that was trained and tested.

    Attributes:
        spec: of the run.
        folder: where it writes.
        data: its rows.
        model: with the weights that are kept.
        module: knows what the test gave.
        keeper: knows which weights are kept, and what they were chosen by.
        recorder: knows how the run went.
        engine: that ran the layers.
        calibration: of the probabilities; None: there is none.
        begun: what the run began with; None: a model of its own.
    """

    spec: Mapping[str, Any]
    folder: RunFolder
    data: DataModule
    model: SequenceModel
    module: TrainingModule
    keeper: Keeper
    recorder: Recorder
    engine: str
    calibration: Mapping[str, Any] | None
    begun: Any

    @property
    def _test(self) -> Mapping[str, float]:
        return self.module.results.get("test", {})

    def values(self, seconds: float) -> dict[str, Any]:
        """The content of ``result.json``, but for the baselines.

        Args:
            seconds: of training.
        """
        name, mode = self.keeper.monitor, self.keeper.mode
        kept = self.keeper.best.get("validation", {})
        values: dict[str, Any] = {
            "test": plain_numbers(self._test),
            "validation": plain_numbers(kept),
            "rows": self.data.sizes,
            "seconds": round(seconds, 3),
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "engine": self.engine,
            "versions": versions(),
            "monitor": {"name": name, "mode": mode},
            "steps": self.recorder.last_step,
            "best_step": self.keeper.best.get("step", self.recorder.last_step),
            "ended": self.recorder.ended,
            "seed": self.spec["seed"],
            **self.module.classes,
        }
        if self.calibration:
            values["calibration"] = self.calibration
        if self.begun is not None:
            values["start"] = self.begun
        return values

    def write(self, values: dict[str, Any]) -> None:
        """Write the bundle, the page and the result, and print what people look for.

        Args:
            values: the content of ``result.json``; gets the baselines.
        """
        test = self._test
        if guesses := self._baselines():
            values["baseline"] = guesses[0]
        if guesses[1:]:
            values["other_baselines"] = guesses[1:]
        metrics = {"test": dict(test), "validation": dict(self.keeper.best.get("validation", {}))}
        self.model.cpu().eval()
        save_bundle(
            self.folder.bundle,
            self.model,
            self.data.processor,
            self._finished_spec(),
            metrics=metrics,
            data_identity=self.data.source.describe(),
        )
        summary.show_result(values)
        if self.module.class_text:
            console.say(f"{self.module.class_text}\n")
        trained = TrainedModel(self.model, self.data.processor, dict(self.spec))
        rows = summary.spread(self.data.rows("test"), self.spec.get("samples", 5)) if test else []
        samples = summary.decode_samples(trained, rows, self.data.spec)
        summary.show_samples(samples)
        paths = {
            "metrics": self.recorder.file.path,
            "result": self.folder.result,
            "checkpoints": self.folder.checkpoints,
            "bundle": self.folder.bundle,
        }
        if self.spec.get("report", True):
            paths["report"] = self._report(values, trained, samples)
        # last: a run that has it is finished, and is not resumed to write what it lacks
        write_json(self.folder.result, values)
        summary.show_paths(paths)

    def _finished_spec(self) -> dict[str, Any]:
        """The spec with what was fitted after training."""
        if not self.calibration:
            return dict(self.spec)
        head = {**self.spec["head"], "temperature": self.calibration["temperature"]}
        return {**self.spec, "head": head}

    def _report(
        self, values: Mapping[str, Any], trained: TrainedModel, samples: summary.Samples
    ) -> Path:
        """The page about the run."""
        shown = summary.spread(self.data.rows("test"), _NUMBERS) if values["test"] else []
        numbers = summary.predicted_numbers(trained, shown, self.data.spec)
        page = Report(self.folder.path, self.spec, values, samples, self.module.classes, numbers)
        return page.write(self.folder.report)

    def _baselines(self) -> list[dict[str, Any]]:
        """What simple rules reach on the test rows, the one to beat first."""
        if "test" not in self.data.splits:
            return []
        if isinstance(self.model.head, ForecastHead):
            return naive_forecasts(self.model.head.cpu(), self.data.loader("test"))
        train, test = self.data.rows("train"), self.data.rows("test")
        if self.data.info.target.kind == "inputs":
            held_out = self.data.rows("validation") if "validation" in self.data.splits else ()
            return [ngram_baseline(self.data.processor, train, held_out, test)]
        return baselines(self.data.spec, train, test, self.data.info.target)
