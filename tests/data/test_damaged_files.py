"""Damaged files and archives: rows, or one line that names the file; never another exception."""

from __future__ import annotations

import io
import tarfile
import zipfile
from functools import partial

import pytest
import seqlab
from seqlab.data.sources.files import FilesSource
from seqlab.errors import DataError
from seqlab.testing.formats import damaged
from seqlab_datasets.archives import read_members

FORMATS = seqlab.available("format")


def zipped(compression):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr("data/a.csv", "text,label\n" + "a b,x\n" * 200)
        archive.writestr("data/b.csv", "text,label\n" + "c d,y\n" * 200)
    return stream.getvalue()


def tarred(compression):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=f"w:{compression}") as archive:
        for name in ("data/a.csv", "data/b.csv"):
            info = tarfile.TarInfo(name)
            content = b"text,label\n" + name.encode() * 200
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


ARCHIVES = {
    "stored.zip": partial(zipped, zipfile.ZIP_STORED),
    "deflated.whl": partial(zipped, zipfile.ZIP_DEFLATED),
    "bzip2.zip": partial(zipped, zipfile.ZIP_BZIP2),
    "lzma.zip": partial(zipped, zipfile.ZIP_LZMA),
    "plain.tar": partial(tarred, ""),
    "packed.tgz": partial(tarred, "gz"),
    "packed.tar.xz": partial(tarred, "xz"),
}


def count_refused(read, contents):
    """How many of the contents are refused, each by one short line."""
    refused = [
        message for message in (message_of(read, content) for content in contents) if message
    ]
    assert not [message for message in refused if "\n" in message or len(message) > 2500]
    return len(refused)


def message_of(read, content):
    try:
        read(content)
    except DataError as error:
        return str(error)
    return ""


def archive_reader(path):
    def read(content):
        path.write_bytes(content)
        read_members(path, ["*.csv"], "the archive")

    return read


@pytest.mark.parametrize("name", ARCHIVES)
def test_damaged_archives(tmp_path, name):
    content = ARCHIVES[name]()
    read = archive_reader(tmp_path / name)
    read(content)
    assert count_refused(read, damaged(content, 60)) > 10


def test_an_encrypted_archive_and_an_unknown_method(tmp_path):
    content = bytearray(zipped(zipfile.ZIP_STORED))
    central = content.index(b"PK\x01\x02")
    for place, value in ((6, 1), (central + 8, 1)):
        content[place] |= value
    with pytest.raises(DataError, match=r"the archive: not a readable zip or tar archive: .*encr"):
        archive_reader(tmp_path / "a.zip")(bytes(content))
    content = bytearray(zipped(zipfile.ZIP_STORED))
    content[8] = content[central + 10] = 97
    with pytest.raises(DataError, match=r"the archive: not a readable zip or tar archive: "):
        archive_reader(tmp_path / "b.zip")(bytes(content))


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHIVES)
def test_many_damaged_archives(tmp_path, name):
    content = ARCHIVES[name]()
    refused = count_refused(archive_reader(tmp_path / name), damaged(content, 2000, seed=1))
    print(f"{name}: {refused} of 2,000 damaged archives refused")  # noqa: T201 - the count


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_many_damaged_files(tmp_path, name):
    path = tmp_path / "a.file"
    columns = {column: f"data.{column}" for column in first_row(name)}
    refused = {}
    for on_error in ("raise", "skip"):

        def read(content, on_error=on_error):
            path.write_bytes(content)
            for streaming in (False, True):
                source = FilesSource(
                    train=str(path), format=name, streaming=streaming, on_error=on_error
                )
                source.use_columns(columns)
                list(source.load()["train"])

        contents = damaged(seqlab.get("format", name).example(), 500, seed=2)
        refused[on_error] = count_refused(read, contents)
    assert refused["skip"] <= refused["raise"]
    print(f"{name}, 500 damaged files: refused {refused}")  # noqa: T201 - the count


def first_row(name):
    part = seqlab.get("format", name)
    return next(part().read(io.BytesIO(part.example()), "a.file"))[1]
