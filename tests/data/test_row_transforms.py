"""Transforms in a data module, a processor and a bundle's answers."""

from __future__ import annotations

import json

import pytest
from seqlab import ConfigError, DataError
from seqlab.data.data_spec import DataSpec
from seqlab.data.module import DataModule
from seqlab.data.processor import Processor, fit_processor
from seqlab.data.sources.files import FilesSource
from seqlab.errors import BundleError
from windowed_series import FORECAST, WINDOWS, Series, long_table, of_file, series_rows


def values(data, split):
    """Context and next value of each row of a split."""
    return [([float(x) for x in row["x"]], float(row["x_next"])) for row in data.rows(split)]


def test_a_long_table_becomes_windows_of_each_series_in_time_order(tmp_path):
    data = of_file(long_table(tmp_path / "a.csv", steps=5))
    assert values(data, "train") == [
        ([0.0, 1.0, 2.0], 3.0),
        ([1.0, 2.0, 3.0], 4.0),
        ([100.0, 101.0, 102.0], 103.0),
        ([101.0, 102.0, 103.0], 104.0),
    ]
    batch = next(iter(data.loader("train")))
    first = batch.rows.tolist().index(0)
    assert batch.inputs["x"][first, :, 0].tolist() == [0.0, 1.0, 2.0]
    assert batch.target[first].tolist() == [3.0]
    assert list(data.rows("train")[0]) == ["x", "x_next"]


SPLIT = {"by": "tail", "order": "time", "each": "id", "test": 0.4}


@pytest.mark.parametrize("split", [SPLIT, {**SPLIT, "each": None}])
def test_no_window_crosses_from_training_into_the_test(tmp_path, split):
    data = of_file(long_table(tmp_path / "a.csv"), split=split)
    seen = {x % 100 for context, after in values(data, "train") for x in [*context, after]}
    tested = {x % 100 for context, after in values(data, "test") for x in [*context, after]}
    assert (seen, tested) == ({0, 1, 2, 3, 4, 5}, {6, 7, 8, 9})
    assert len(data.rows("test")) == 2


def test_rows_of_one_time_are_on_one_side_and_wrong_times_are_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time,x,id\n" + "".join(f"{t // 3},{t},q\n" for t in range(12)))
    source = FilesSource(path=str(path), split={"by": "tail", "order": "time", "test": 0.1})
    assert source.load()["test"]["x"][:] == ["9", "10", "11"]
    path.write_text("time,x\n1,1\nsoon,2\n")
    source = FilesSource(path=str(path), split={"by": "tail", "order": "time", "test": 0.5})
    with pytest.raises(DataError, match=r"a\.csv line 3: column 'time': expected a number or an I"):
        source.load()


@pytest.mark.parametrize("streaming", [False, True])
def test_groups_of_rows_are_on_one_side(tmp_path, streaming):
    path = tmp_path / "a.csv"
    path.write_text("who,x\n" + "".join(f"p{n % 10},{n}\n" for n in range(100)))
    split = {"group": "who", "validation": 0.2, "test": 0.3}
    loaded = FilesSource(path=str(path), split=split, streaming=streaming).load()
    who = {name: {row["who"] for row in rows} for name, rows in loaded.items()}
    assert {name: len(people) for name, people in who.items()} == {
        "train": 5,
        "validation": 2,
        "test": 3,
    }
    assert set.union(*who.values()) == {f"p{n}" for n in range(10)}
    with pytest.raises(ConfigError, match="stratify and group do not go together"):
        FilesSource(path=str(path), split={**split, "stratify": "who"})


@pytest.mark.parametrize("streaming", [False, True])
def test_validation_rows_are_whole_series(streaming):
    spec = {**WINDOWS, "validation": 0.3}
    data = DataModule(Series(series_rows(), streaming=streaming), spec, seed=0)
    data.prepare()
    of = {s: {int(row["x"][0]) // 100 for row in data.rows(s)} for s in ("train", "validation")}
    assert (len(of["train"]), len(of["validation"])) == (7, 3)
    assert not of["train"] & of["validation"]
    assert data.sizes == {"train": 35, "validation": 15}


@pytest.mark.parametrize("streaming", [False, True])
def test_every_class_is_known_though_its_only_series_is_held_out(streaming):
    rows = [{**row, "label": f"c{n}"} for n, row in enumerate(series_rows())]
    spec = {**WINDOWS, "target": {"column": "label", "kind": "label"}, "validation": 0.3}
    data = DataModule(Series(rows, streaming=streaming), spec, seed=0)
    data.prepare()
    assert data.info.target.names == tuple(f"c{n}" for n in range(10))


def test_a_stream_gives_the_same_batches_as_rows_in_memory():
    batches = []
    for streaming in (False, True):
        data = DataModule(Series(series_rows(), streaming=streaming), WINDOWS, seed=0)
        data.prepare()
        made = {tuple(x.flatten().tolist()) for b in data.loader("train") for x in b.inputs["x"]}
        batches.append((data.sizes, made))
    assert batches[0] == batches[1]
    assert len(batches[0][1]) == 50


def test_digests_and_order_depend_on_the_rows_made():
    def digest(stride):
        windows = {**WINDOWS["transforms"][0], "stride": stride}
        data = DataModule(Series(series_rows()), {**WINDOWS, "transforms": [windows]}, seed=0)
        return data, data.digests() if data.prepare() is None else None

    (_, one), (_, again), (_, other) = digest(1), digest(1), digest(2)
    assert one == again != other
    assert one["train"]["rows"] == 50


def test_the_spec_has_all_options_and_reads_itself_back():
    spec = DataSpec.from_mapping(FORECAST)
    assert spec.to_dict()["transforms"][0] == {
        "name": "group",
        "by": "id",
        "order": "time",
        "constant": (),
    }
    assert DataSpec.from_mapping(json.loads(json.dumps(spec.to_dict()))).to_dict()["transforms"][
        1
    ] == {
        "name": "windows",
        "columns": "x",
        "context": 3,
        "horizon": 1,
        "stride": 1,
        "known": [],
        "predict": None,
    }
    assert spec.given_columns == ("x", "id", "time")


def test_what_is_learnt_comes_from_training_rows_and_is_kept(tmp_path):
    fill = {"name": "fill", "columns": "x", "by": "mean"}
    spec = {**WINDOWS, "transforms": [fill, *WINDOWS["transforms"]]}
    fit_processor(spec, [{"x": [1.0, None, 3.0, 5.0]}]).save(tmp_path)
    processor = Processor.load(tmp_path)
    rows = processor.transform_inputs([[None, 2.0, float("nan")]], str)
    assert [dict(row) for row in rows] == [{"x": [3.0, 2.0, 3.0]}]
    kept = json.loads((tmp_path / "processor.json").read_text())
    assert kept["transforms"] == [{"x": 3.0}, {}]
    for states in ([], [{"x": "3"}, {}], [{"x": None}, {}], [{"y": 1.0}, {}], None):
        (tmp_path / "processor.json").write_text(json.dumps({**kept, "transforms": states}))
        with pytest.raises(BundleError, match=r"processor\.json"):
            Processor.load(tmp_path)


def test_held_out_rows_teach_a_transform_nothing():
    rows = [{"x": [float(n), None, 1.0, 1.0]} for n in range(10)]
    fill = {"name": "fill", "columns": "x", "by": "mean"}
    spec = {**WINDOWS, "transforms": [fill, *WINDOWS["transforms"]], "validation": 0.5}
    data = DataModule(Series(rows), spec, seed=0)
    firsts = [row["x"][0] for row in data.rows("train")]
    known = [*firsts, *[1.0] * 2 * len(firsts)]
    mean = sum(known) / len(known)
    assert data.rows("validation")[0]["x"][1] == pytest.approx(mean)
    again = DataModule(Series(rows), spec, seed=0, processor=data.processor)
    again.prepare(["validation"])
    assert again.rows("validation")[0]["x"][1] == pytest.approx(mean)


def test_filter_says_once_how_many_rows_it_left_out(caplog):
    keep = {"name": "filter", "column": "x", "min_length": 4, "splits": ["train"]}
    rows = [{"x": [1.0] * (3 + n % 3), "x_next": 1.0} for n in range(9)]
    data = DataModule(Series(rows, streaming=True), {**WINDOWS, "transforms": [keep]}, seed=0)
    data.prepare()
    assert data.sizes == {"train": 6}
    list(data.loader("train"))
    said = [r.getMessage() for r in caplog.records if "left out" in r.getMessage()]
    assert len(said) == 1
    assert said[0].startswith(
        "data.transforms: filter left out 3 of 9 rows of train: column 'x' was"
    )
    assert said[0].endswith("too short in 3 and too long in 0")
    assert len(data.processor.transform_inputs([[1.0]], str)) == 1


@pytest.mark.parametrize("streaming", [False, True])
def test_a_pass_goes_on_where_it_was_left(streaming):
    data = DataModule(Series(series_rows(), streaming=streaming), WINDOWS, seed=4)
    data.prepare()
    whole = [batch.rows.tolist() for batch in data.loader("train", epoch=2)]
    assert [b.rows.tolist() for b in data.loader("train", epoch=2, start_batch=1)] == whole[1:]
    assert sorted(row for batch in whole for row in batch) == list(range(50))
    row = data.rows("train")[whole[1][0]]
    batch = next(iter(data.loader("train", epoch=2, start_batch=1)))
    assert batch.inputs["x"][0, :, 0].tolist() == row["x"]
