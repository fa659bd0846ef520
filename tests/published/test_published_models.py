"""Published layouts of weights against the plain equations of their packages, in numpy."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import seqlab
from seqlab.cli import main
from seqlab.errors import DataError
from seqlab.published.g2p_en import g2p_en
from seqlab.published.wheels import published

RANDOM = np.random.default_rng(5)


def drawn(*shape):
    return RANDOM.normal(size=shape).astype(np.float32)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(x, h, w):
    """One step by torch's equations, gates r, z, n."""
    a, b = x @ w["w_ih"].T + w["b_ih"], h @ w["w_hh"].T + w["b_hh"]
    (ra, za, na), (rb, zb, nb) = np.split(a, 3), np.split(b, 3)
    r, z = sigmoid(ra + rb), sigmoid(za + zb)
    return (1 - z) * np.tanh(na + r * nb) + z * h


def english(hidden=7, width=5):
    arrays = {"enc_emb": drawn(29, width), "dec_emb": drawn(74, width)}
    for side in ("enc", "dec"):
        arrays |= {f"{side}_w_ih": drawn(3 * hidden, width), f"{side}_b_ih": drawn(3 * hidden)}
        arrays |= {f"{side}_w_hh": drawn(3 * hidden, hidden), f"{side}_b_hh": drawn(3 * hidden)}
    scores = drawn(74)
    scores[:3] -= 50  # <pad>, <unk> and <s> are no answers
    return {**arrays, "fc_w": drawn(74, hidden), "fc_b": scores}


def pronounced(arrays, word):
    sides = [
        {key: arrays[f"{side}_{key}"] for key in ("w_ih", "w_hh", "b_ih", "b_hh")}
        for side in ("enc", "dec")
    ]
    h = np.zeros(sides[0]["w_hh"].shape[1], np.float32)
    for letter in [*word, "</s>"]:
        known = letter == "</s>" or ("a" <= letter <= "z" and len(letter) == 1)
        index = 2 if letter == "</s>" else 3 + ord(letter) - ord("a") if known else 1
        h = gru(arrays["enc_emb"][index], h, sides[0])
    found, token = [], 2
    while len(found) < 20:
        h = gru(arrays["dec_emb"][token], h, sides[1])
        token = int((arrays["fc_w"] @ h + arrays["fc_b"]).argmax())
        if token == 3:
            break
        found.append(token)
    return found


def chinese(hidden=4, width=3):
    characters = {"<PAD>": 0, "<UNK>": 1, "B": 2, "E": 3, "甲": 4, "乙": 5, "丙": 6}
    sounds = {"a1": 0, "b2": 1, "c5": 2}
    arrays = {"embedding.weight": drawn(7, width)}
    for end in ("", "_reverse"):
        arrays |= {
            f"lstm.weight_ih_l0{end}": drawn(4 * hidden, width),
            f"lstm.weight_hh_l0{end}": drawn(4 * hidden, hidden),
            f"lstm.bias_ih_l0{end}": drawn(4 * hidden),
            f"lstm.bias_hh_l0{end}": drawn(4 * hidden),
        }
    arrays |= {"logit_layer.0.weight": drawn(6, 2 * hidden), "logit_layer.0.bias": drawn(6)}
    arrays |= {"logit_layer.2.weight": drawn(3, 6), "logit_layer.2.bias": drawn(3)}
    return arrays, characters, sounds


def lstm(xs, arrays, end):
    w = {key: arrays[f"lstm.{key}_l0{end}"] for key in
         ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}  # fmt: skip
    h = c = np.zeros(w["weight_hh"].shape[1])
    outputs = []
    for x in xs:
        gates = w["weight_ih"] @ x + w["bias_ih"] + w["weight_hh"] @ h + w["bias_hh"]
        i, f, g, o = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return outputs


def sounded(arrays, characters, sounds, text):
    xs = [arrays["embedding.weight"][characters.get(character, 1)] for character in text]
    forward, backward = lstm(xs, arrays, ""), lstm(xs[::-1], arrays, "_reverse")[::-1]
    names = list(sounds)
    found = []
    for both in zip(forward, backward, strict=True):
        hidden = (
            arrays["logit_layer.0.weight"] @ np.concatenate(both) + arrays["logit_layer.0.bias"]
        )
        scores = arrays["logit_layer.2.weight"] @ np.maximum(hidden, 0)
        found.append(names[int((scores + arrays["logit_layer.2.bias"]).argmax())])
    return found


@pytest.fixture
def wheels(tmp_path):
    """Archives with the members that the packages have."""
    arrays, (weights, characters, sounds) = english(), chinese()
    np.savez(tmp_path / "checkpoint20.npz", **arrays)
    with zipfile.ZipFile(tmp_path / "en.whl", "w") as archive:
        archive.write(tmp_path / "checkpoint20.npz", "g2p_en/checkpoint20.npz")
    with zipfile.ZipFile(tmp_path / "zh.whl", "w") as archive:
        parts = {"np_ckpt": weights, "char2idx": characters, "class2idx": sounds}
        for name, value in parts.items():
            archive.writestr(f"g2pM/{name}.pkl", pickle.dumps(value, protocol=3))
    return tmp_path, arrays, (weights, characters, sounds)


def test_an_encoder_decoder_is_that_of_the_equations(wheels, capsys):
    folder, arrays, _ = wheels
    words = ["word", "a", "z'z", "longerword", "é"]
    assert main(["convert", f"input={folder / 'en.whl'}", "layout=g2p_en",
                 f"output={folder / 'english'}"]) == 0  # fmt: skip
    assert "g2p_en, 1,695 weights" in capsys.readouterr().out
    answers = seqlab.load(folder / "english").predict([[*word, "</s>"] for word in words])
    for word, answer in zip(words, answers, strict=True):
        assert answer["tokens"] == pronounced(arrays, word)
    assert "Apache-2.0" in (folder / "english" / "README.md").read_text("utf-8")


def test_a_tagger_is_that_of_the_equations(wheels):
    folder, _, (weights, characters, sounds) = wheels
    trained = published("g2pm", folder / "zh.whl")
    texts = ["B甲乙丙E", "丙", "B甲甲乙X丙乙E"]
    for text, answer in zip(texts, trained.predict([list(text) for text in texts]), strict=True):
        assert answer["tags"] == sounded(weights, characters, sounds, text)


def test_what_is_no_such_wheel_is_told(wheels, capsys):
    folder, arrays, _ = wheels
    with pytest.raises(DataError, match=r"has no g2pM/np_ckpt\.pkl"):
        published("g2pm", folder / "en.whl")
    with pytest.raises(DataError, match="no wheel that can be read"):
        published("g2p_en", folder / "checkpoint20.npy")
    with pytest.raises(DataError, match=r"no array 'fc_w'"):
        g2p_en({name: value for name, value in arrays.items() if name != "fc_w"})
    with pytest.raises(DataError, match=r"output\.bias is \(73,\), expected \(74,\)"):
        g2p_en({**arrays, "fc_b": arrays["fc_b"][1:]})
    (folder / "bad.whl").write_bytes(b"PK\x03\x04 nothing")
    words = ["convert", f"input={folder / 'bad.whl'}", "layout=g2pm", f"output={folder / 'x'}"]
    assert main(words) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_the_published_weights_give_the_published_answers(tmp_path):
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(tmp_path)]
    subprocess.run([*command, "g2p-en==2.1.0", "g2pM==0.1.2.5"], check=True)
    (english_wheel,), (chinese_wheel,) = tmp_path.glob("g2p_en*"), tmp_path.glob("g2pM*")
    (answer,) = published("g2p_en", english_wheel).predict([[*"activationist", "</s>"]])
    assert answer["text"] == "AE2 K T IH0 V EY1 SH AH0 N IH0 S T"
    sentence = "然而，他红了20年以后，他竟退出了大家的视线。"  # noqa: RUF001
    marks = "\uc2dc", "\ub05d"
    (answer,) = published("g2pm", chinese_wheel).predict([[marks[0], *sentence, marks[1]]])
    read = dict(zip(sentence, answer["tags"][1:-1], strict=True))
    assert {character: read[character] for character in "了大的"} == {
        "了": "le5", "大": "da4", "的": "de5"
    }  # fmt: skip
    assert json.dumps(read)
