import http.server
import threading

import datasets
import pytest
from seqlab.data.sources import hub
from seqlab.data.sources.hub import HubSource
from seqlab.errors import ConfigError, DataError


@pytest.fixture
def dead_hub(monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)


@pytest.fixture
def local_folder(tmp_path, monkeypatch):
    """A folder that load_dataset reads as it reads the hub's, with nothing asked of the hub."""
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.csv").write_text("text,label\na,0\nb,1\nc,0\n")
    (folder / "test.csv").write_text("text,label\nd,1\n")
    return str(folder)


def test_a_hub_that_is_not_reachable_is_known_at_once(dead_hub):
    with pytest.raises(DataError) as caught:
        HubSource(path="ag_news").load()
    message = str(caught.value)
    assert message.startswith("hub data set ag_news: the hub http://127.0.0.1:9 is not reachable (")
    assert "HF_HUB_OFFLINE=1" in message
    assert "\n" not in message


def test_any_answer_means_that_the_hub_is_there(monkeypatch):
    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(403)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Refuses)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(datasets.config, "HF_ENDPOINT", address)
        assert hub.check_reachable("x") is None
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("streaming", [False, True])
def test_splits_and_columns(local_folder, streaming):
    source = HubSource(path=local_folder, columns=["text"], streaming=streaming)
    data = source.load()
    assert set(data) == {"train", "test"}
    assert list(data["train"]) == [{"text": "a"}, {"text": "b"}, {"text": "c"}]
    described = source.describe()
    assert described["rows"] == ({} if streaming else {"train": 3, "test": 1})
    assert described["digest"].startswith("fingerprint: ")


def test_splits_by_other_names(local_folder):
    named = {"train": "train[:2]", "validation": "train[2:]"}
    data = HubSource(path=local_folder, splits=named).load()
    assert {split: rows["text"][:] for split, rows in data.items()} == {
        "train": ["a", "b"], "validation": ["c"],
    }  # fmt: skip


def test_what_the_hub_does_not_have(local_folder):
    with pytest.raises(DataError, match="column 'txt' is missing: did you mean 'text'"):
        HubSource(path=local_folder, columns=["txt"]).load()
    with pytest.raises(DataError, match="cannot be loaded: Unknown split"):
        HubSource(path=local_folder, splits={"test": "dev"}).load()
    with pytest.raises(DataError, match=r"hub data set nobody/nothing: cannot be loaded: ."):
        HubSource(path="nobody/nothing").load()


def test_wrong_options():
    with pytest.raises(ConfigError, match=r"source\.splits: unknown 'trian': did you mean 'train'"):
        HubSource(path="x", splits={"trian": "train"})
    with pytest.raises(ConfigError, match=r"path: expected a name, got ''"):
        HubSource(path="")
