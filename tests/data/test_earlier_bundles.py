"""Processors saved before tokenizers, features and targets were registered parts."""

import json
from pathlib import Path

import pytest
from seqlab.data.processor import Processor
from seqlab.errors import BundleError

FOLDERS = sorted(path for path in (Path(__file__).parent / "earlier_bundles").iterdir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_they_load_and_give_the_same_ids(folder, tmp_path):
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    earlier = Processor.load(folder)
    earlier.save(tmp_path)
    for processor in (earlier, Processor.load(tmp_path)):
        for value, ids in zip(expected["inputs"], expected["ids"], strict=True):
            found = {k: v.tolist() for k, v in processor.encode_input(value).inputs.items()}
            assert found == ids
        columns = {processor.spec.input_columns[0]: expected["inputs"][0], "y": expected["target"]}
        assert processor.encode(columns).target.tolist() == expected["target_ids"]
        assert processor.decode_target(expected["target_ids"]) == expected["decoded"]


def test_their_parts_are_still_compared(tmp_path):
    folder = next(path for path in FOLDERS if path.name == "words")
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["normalizer"] = {"type": "Strip", "strip_left": True, "strip_right": True}
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BundleError, match="its 'normalizer' is not that of tokenizer 'words'"):
        Processor.load(tmp_path)
