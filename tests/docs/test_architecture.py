"""The page on architecture is held against the contracts, the imports and the calls of a run."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
import seqlab
import torch
from importlinter.api import read_configuration
from seqlab import registry
from seqlab.cli import main

ROOT = Path(seqlab.__file__).parent
PAGE = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text("utf-8")
STOP = re.compile(r"^\d+\. `([\w/]+\.py)` `([\w.]+)`", re.MULTILINE)


def part(title):
    return re.split(r"^#+ ", PAGE.split(f"# {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def picture():
    """Module to room, and the arrows between rooms."""
    drawn = re.search(r"```mermaid\n(.*?)```", PAGE, re.DOTALL)[1]
    arrows = set(re.findall(r"(\w+)(?:\[[^]]*\])? --> (\w+)", drawn))
    holds = {room: names.split(", ") for room, names in re.findall(r'(\w+)\["([^"]*)"\]', drawn)}
    rooms = {room for arrow in arrows for room in arrow}
    return {name: room for room in rooms for name in holds.get(room, [room])}, arrows


def imported(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "seqlab":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("seqlab."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            yield from (name[1] for name in names if name[0] == "seqlab" and len(name) > 1)


def imports(room_of):
    """The rooms that import each other, without their face ``__init__``."""
    found = set()
    for path in ROOT.rglob("*.py"):
        name = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if name in room_of:
            rooms = {room_of[other] for other in imported(path) if other in room_of}
            found |= {(room_of[name], room) for room in rooms - {room_of[name]}}
    return found


def reached(room, arrows):
    near = {end for start, end in arrows if start == room}
    return near.union(*(reached(end, arrows) for end in near))


def test_the_picture_has_the_rooms_of_the_contract():
    contracts = read_configuration(str(ROOT.parent / "pyproject.toml"))["contracts_options"]
    (contract,) = (found for found in contracts if found.get("containers") == ["seqlab"])
    names = [name for floor in contract["layers"] for name in floor.split(" | ")]
    room_of, _ = picture()
    assert sorted(room_of) == sorted(names)


def test_every_arrow_is_an_import_and_every_import_follows_arrows():
    room_of, arrows = picture()
    real = imports(room_of)
    assert arrows <= real
    ways = {(room, end) for room in set(room_of.values()) for end in reached(room, arrows)}
    assert real <= ways
    assert not any((end, room) in ways for room, end in ways)


def called(wanted, action):
    """The functions of ``wanted`` that an action calls, in order."""
    calls, paths = [], {str(ROOT / path): path for path, _ in wanted}

    def note(frame, event, _):
        path = paths.get(frame.f_code.co_filename) if event == "call" else None
        if path is not None and (path, frame.f_code.co_qualname) in wanted:
            calls.append((path, frame.f_code.co_qualname))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(before)
    return calls


def assert_walked(stops, calls):
    rest = iter(calls)
    missed = next((stop for stop in stops if stop not in rest), None)
    assert missed is None, f"{missed} is not called, or not in this place"


@pytest.fixture(scope="module", name="calls")
def _calls(tmp_path_factory):
    """The calls of a run of one step."""
    folder = tmp_path_factory.mktemp("walks")
    rows = [f"{word},{label}" for word, label in (("red", "colour"), ("two", "number"))] * 20
    (folder / "words.csv").write_text("text,label\n" + "\n".join(rows) + "\n", "utf-8")
    words = [
        "train", "source=files", f"source.path={folder / 'words.csv'}", "data=text_label",
        "head=classification", "cell=lstm", "cell.recurrent_dropout=0.2", "trainer.max_steps=1",
        "trainer.accelerator=cpu", f"hydra.run.dir={folder / 'run'}",
    ]  # fmt: skip
    wanted = {stop for title in ("An option", "A row") for stop in walk(title)}

    def train():
        assert main(words) == 0

    return called(wanted, train)


def walk(title):
    found = next(line for line in PAGE.splitlines() if line.startswith(f"### {title}"))
    return STOP.findall(part(found.lstrip("# ")))


def test_an_option_walks_as_the_page_says(calls):
    stops = walk("An option")
    rooms = {path.split("/")[0].removesuffix(".py") for path, _ in stops}
    assert f"{len(stops)} stops in {len(rooms)} rooms" in PAGE
    assert_walked(stops, calls)


def test_a_row_walks_as_the_page_says(calls):
    stops = walk("A row")
    files = {path for path, _ in stops if path.startswith("data/")}
    assert f"{len(stops)} stops, {len(files)} files of `data/`" in PAGE
    assert_walked(stops, calls)


def test_an_engine_is_chosen_as_the_page_says():
    stops, layer = walk("The choice of an engine"), seqlab.LSTM(3, 4)
    assert_walked(stops, called(set(stops), lambda: layer(torch.zeros(2, 5, 3))))
    assert called(set(stops), lambda: layer(torch.zeros(2, 5, 3))) == stops[:1]
    masked = {"lengths": torch.tensor([3, 5])}
    layer(torch.zeros(2, 5, 3), **masked)
    assert called(set(stops), lambda: layer(torch.zeros(2, 5, 3), **masked)) == stops[:1]
    noisy = seqlab.LSTM(3, 4, recurrent_dropout=0.5)
    noisy(torch.zeros(2, 5, 3))
    assert called(set(stops), lambda: noisy(torch.zeros(2, 5, 3))) == stops[:4]


def test_the_page_has_every_kind_and_its_base_class():
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", part("The kinds of parts"), re.MULTILINE)
    assert sorted(kind for kind, _ in rows) == sorted(registry.KINDS)
    for _, text in rows:
        for name in re.findall(r"`(\w+)`", text):
            assert isinstance(getattr(seqlab, name), type)
