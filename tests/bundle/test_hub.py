"""A bundle goes to a server that speaks the Hub's API, and comes back, in another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import seqlab
from local_hub import local_hub
from seqlab.bundle import TrainedModel
from seqlab.bundle.hub import push
from seqlab.errors import BundleError, ConfigError, RunError

# what a user types, one after the other in one process, since torch takes long to start
STORY = """
import json, sys
import seqlab
from seqlab.cli import main

bundle, cache = sys.argv[1:]
codes = [
    main(["push", f"bundle={bundle}", "to=me/words", "private=true"]),
    main(["push", f"bundle={bundle}", "to=me/words", "revision=second", "message=again"]),
    main(["push", f"bundle={bundle}", "to=words"]),
]
model = seqlab.from_pretrained("me/words", token="writer", cache_dir=cache)
address = model.push_to_hub("me/copy", token="writer")
second = seqlab.from_pretrained("me/words", revision="second", token="writer", cache_dir=cache)
told = []
for name, options in (("me/none", {}), ("me/words", {"revision": "third"}), ("me/words", {"token": False})):
    try:
        seqlab.load(name, cache_dir=cache + "-empty", **options)
    except seqlab.BundleError as error:
        told.append(str(error))
try:
    model.push_to_hub("me/copy", token="reader")
except seqlab.RunError as error:
    told.append(str(error))
answers = [one.predict(["abc", "f"]) for one in (model, second)]
print(json.dumps({"codes": codes, "answers": answers, "told": told, "address": address}))
"""  # noqa: E501


@pytest.fixture(scope="module")
def told(made, tmp_path_factory):
    """What the story printed, and what the server has."""
    home = tmp_path_factory.mktemp("hub")
    folder = made["words"][0]
    (folder / "notes.txt").write_text("nobody's business")
    with local_hub() as server:
        environment = {
            **os.environ,
            "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "HF_HUB_OFFLINE": "0",
            "HF_HOME": str(home / "home"),
            "HF_TOKEN": "writer",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_XET": "1",
            "no_proxy": "127.0.0.1",
        }
        command = [sys.executable, "-c", STORY, str(folder), str(home / "cache")]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=200
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done, server


def test_it_comes_back_as_it_went(made, told):
    said, done, server = told
    folder = made["words"][0]
    assert said["codes"] == [0, 0, 2]
    expected = seqlab.load(folder).predict(["abc", "f"])
    for answers in said["answers"]:
        for mine, theirs in zip(answers, expected, strict=True):
            assert mine["label"] == theirs["label"]
    words = server.repositories["me/words"]
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    del files["notes.txt"]
    assert words["main"] == words["second"] == files
    assert server.private["me/words"] is True
    assert server.repositories["me/copy"]["main"] == files
    assert said["address"].endswith(f"/me/copy/commit/{server.sha('me/copy', 'main')}")
    assert done.stdout.splitlines()[0].endswith(
        f"/me/words/commit/{server.sha('me/words', 'main')}"
    )


def test_what_the_hub_does_not_give_or_take_is_one_line(told):
    said, done, _ = told
    none, third, closed, reader = said["told"]
    assert none.startswith(
        "no bundle at me/none: there is no such folder, and the Hugging Face Hub"
    )
    assert third.startswith("no bundle at me/words at revision 'third': there is no such folder")
    assert closed.startswith("no bundle at me/words: there is no such folder")
    assert reader.startswith("me/copy: the Hugging Face Hub did not take the bundle (")
    assert "hf auth login" in reader
    assert "error: 'words' is no name on the Hub: expected owner/name" in done.stderr
    assert all("\n" not in line for line in said["told"])
    assert "Traceback" not in done.stderr


def test_what_is_no_bundle_is_not_sent(bundle, monkeypatch):
    with pytest.raises(ConfigError, match="expected owner/name"):
        push(bundle, "somewhere")
    (bundle / "config.json").write_text("{}")
    with pytest.raises(BundleError, match=r"config\.json"):
        push(bundle, "me/words")
    with pytest.raises(BundleError, match="has no revision 'main'"):
        seqlab.load(bundle, revision="main")


def test_a_model_without_a_bundle_cannot_be_pushed(made):
    trained = seqlab.load(made["words"][0])
    assert seqlab.from_pretrained is seqlab.load
    bare = TrainedModel(trained.model, trained.processor, trained.config)
    with pytest.raises(RunError, match="was not loaded from a bundle"):
        bare.push_to_hub("me/words")
