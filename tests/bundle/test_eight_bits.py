"""Bundles whose gated cells' matrices are stored as bytes and scales."""

from __future__ import annotations

import json
import shutil

import pytest
import seqlab
import torch
from safetensors.torch import load_file, save_file
from seqlab.bundle import save_bundle
from seqlab.cells.quantized import quantized_names
from seqlab.cli import main
from seqlab.errors import ConfigError, OptionError
from seqlab.files import sha256_of
from seqlab.start.origin import Origin
from seqlab.start.spec import StartSpec
from spoilt_bundles import one_line_error, rewrite

from small_runs import changed, untrained, words_spec


@pytest.fixture(scope="module")
def rounded(made, tmp_path_factory):
    """A bundle of eight bits by the command line, and the one that it was made of."""
    folder = tmp_path_factory.mktemp("rounded") / "small"
    assert main(["convert", f"input={made['words'][0]}", f"output={folder}", "bits=8"]) == 0
    return folder, made["words"][0]


def respoilt(bundle, change):
    """Change the tensors of a bundle's file, so that the manifest fits them."""
    tensors = load_file(bundle / "model.safetensors")
    change(tensors)
    path = bundle / "model.safetensors"
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    entry = {"sha256": sha256_of(path), "size": path.stat().st_size}
    rewrite(bundle, "manifest.json", lambda manifest: manifest["files"].update({path.name: entry}))


def test_it_answers_to_the_last_bit_as_the_rounded_model_in_memory(rounded):
    folder, before = rounded
    small, model = seqlab.load(folder), seqlab.quantize(seqlab.load(before))
    assert small.config["weights"] == "eight_bits"
    state = model.model.state_dict()
    assert all(torch.equal(value, state[n]) for n, value in small.model.state_dict().items())
    words = ["abc", "ffed", "a"]
    assert small.predict(words) == model.predict(words)
    assert small.predict(words) != seqlab.load(before).predict(words)


def test_the_file_holds_bytes_and_a_scale_for_each_row(rounded):
    folder, before = rounded
    stored, floats = (load_file(path / "model.safetensors") for path in (folder, before))
    names = [name for name, value in stored.items() if value.dtype == torch.int8]
    assert len(names) == 4
    assert all(name.endswith(("weight_ih", "weight_hh")) for name in names)
    for name in names:
        scale = stored.pop(name + ".scale")
        assert stored[name].int().abs().max() == 127
        assert scale.shape == floats[name].shape[:1]
        made = scale.unsqueeze(1) * stored[name]
        assert ((made - floats[name]).abs() <= 0.5001 * scale.unsqueeze(1)).all()
    assert stored.keys() == floats.keys()
    card = (folder / "README.md").read_text("utf-8")
    assert "rounded to eight bits" in card
    assert "rounded to eight bits" not in (before / "README.md").read_text("utf-8")


def test_it_is_saved_again_as_it_is_and_as_numbers_once_trained(rounded, tmp_path):
    small = seqlab.load(rounded[0])
    again = save_bundle(tmp_path / "again", small.model, small.processor, small.config)
    assert seqlab.load(again).config["weights"] == "eight_bits"
    with torch.no_grad():
        next(p for n, p in small.model.named_parameters() if n.endswith("weight_hh")).mul_(1.0001)
    moved = save_bundle(tmp_path / "moved", small.model, small.processor, small.config)
    assert seqlab.load(moved).config["weights"] == "float"
    assert quantized_names(small.model) == []


def test_the_command_line_predicts_with_it(rounded, tmp_path, capsys):
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("abc\nfed\n")
    words = [f"bundle={rounded[0]}", f"input={source}", f"output={output}"]
    assert main(["predict", *words, f"hydra.run.dir={tmp_path}"]) == 0
    answers = [json.loads(line)["label"] for line in output.read_text("utf-8").splitlines()]
    assert answers == [a["label"] for a in seqlab.load(rounded[0]).predict(["abc", "fed"])]
    assert capsys.readouterr().err == ""


def test_what_it_cannot_do_is_one_line(rounded, made, tmp_path):
    with pytest.raises(ConfigError, match="of eight bits, which training would not keep; start"):
        Origin(StartSpec(bundle=str(rounded[0])))
    spec = changed(words_spec(tmp_path), encoder__cell={"name": "min_gru", "hidden_size": 4})
    model, data = untrained(spec)
    save_bundle(tmp_path / "linear", model, data.processor, spec)
    from seqlab.verbs import convert

    with pytest.raises(OptionError, match="has no gated cell to round"):
        convert.run([f"input={tmp_path / 'linear'}", f"output={tmp_path / 'x'}", "bits=8"])
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(next(n for n in t if n.endswith(".scale"))), "do not pair"),
        (lambda t: t.update({n: v[:2] for n, v in t.items() if n.endswith(".scale")}), "each row"),
        (lambda t: t.update({n: v.half() for n, v in t.items() if n.endswith(".scale")}), "each"),
        (lambda t: t.update({n: v.int() for n, v in t.items() if v.dtype is torch.int8}), "pair"),
    ],
)
def test_a_damaged_file_is_one_line(rounded, tmp_path, change, message):
    bundle = shutil.copytree(rounded[0], tmp_path / "bundle")
    respoilt(bundle, change)
    assert message in one_line_error(bundle)


def test_a_kind_of_weights_that_nobody_knows(bundle):
    rewrite(bundle, "config.json", lambda config: config.update(weights="four_bits"))
    assert "names the weights 'four_bits'" in one_line_error(bundle)


@pytest.mark.slow
def test_it_is_exported_with_the_rounded_numbers(rounded, tmp_path):
    from seqlab.verbs import export

    words = [f"bundle={rounded[0]}", "format=torch_export", f"output={tmp_path / 'graph'}"]
    assert export.run(words) == 0
    model = seqlab.load(rounded[0]).model.eval()
    feature = model.info.features[0]
    ids, lengths = torch.randint(0, feature.size, (3, 6)), torch.tensor([6, 1, 4])
    with torch.no_grad():
        expected = model.head.scores(model.encode(seqlab.types.Batch({feature.name: ids}, lengths)))
        graph = torch.export.load(tmp_path / "graph" / "model.pt2").module()
        torch.testing.assert_close(graph([ids], lengths)[2], expected)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_onnx_runtime_answers_as_the_bundle(rounded, made, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    words = [f"bundle={rounded[0]}", "format=onnx", f"output={tmp_path / 'graph'}"]
    assert main(["export", *words]) == 0
    session = runtime.InferenceSession(str(tmp_path / "graph" / "model.onnx"))
    data = made["words"][2]
    name = data.info.features[0].name
    small, floats = seqlab.load(rounded[0]), seqlab.load(rounded[1])
    apart = []
    for batch in data.loader("test"):
        fed = {name: batch.inputs[name].numpy(), "lengths": batch.lengths.numpy()}
        (scores,) = session.run(["scores"], fed)
        rows = [data.rows("test")[index] for index in batch.rows.tolist()]
        answers = small.predict(rows)
        assert scores.argmax(1).tolist() == [answer["id"] for answer in answers]
        expected = torch.tensor([answer["scores"] for answer in answers])
        chances = torch.from_numpy(scores).softmax(1)
        torch.testing.assert_close(chances, expected, rtol=1e-5, atol=1e-6)
        unrounded = torch.tensor([answer["scores"] for answer in floats.predict(rows)])
        apart.append(float((chances - unrounded).abs().max()))
    assert max(apart) > 1e-5  # it is the rounded model that was written


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("part", ["step", "decoder_start", "decoder_step"])
def test_the_parts_of_eight_bits_as_onnx(made, tmp_path, part):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    spec = changed(words_spec(tmp_path), encoder__wrappers=[])
    torch.manual_seed(2)
    model, data = untrained(spec)
    one_way = save_bundle(tmp_path / "one_way", model, data.processor, spec)
    bundle = one_way if part == "step" else made["pairs"][0]
    small, graph = tmp_path / "small", tmp_path / "graph"
    assert main(["convert", f"input={bundle}", f"output={small}", "bits=8"]) == 0
    words = [f"bundle={small}", "format=onnx", f"part={part}", f"output={graph}"]
    assert main(["export", *words]) == 0
    told = json.loads((graph / "export.json").read_text("utf-8"))["largest_difference"]
    assert all(value < 1e-5 for shape in told.values() for value in shape.values())
