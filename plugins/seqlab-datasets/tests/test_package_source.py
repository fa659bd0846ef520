import hashlib
import io
import os
import stat
import tarfile
import zipfile

import pytest
from seqlab.errors import ConfigError, DataError, RunError
from seqlab_datasets.archives import read_members
from seqlab_datasets.package import PackageSource

TABLE = "x,y\n" + "".join(f"w{n},{n % 2}\n" for n in range(20))
METADATA = "Metadata-Version: 2.1\nName: somedata\nVersion: 1.0\n"


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    """A cache of its own, and pip that looks in one folder only."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    return shelf


@pytest.fixture
def wheel(offline):
    path = offline / "somedata-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("somedata/__init__.py", "raise SystemExit('imported!')\n")
        archive.writestr("somedata/data/a.csv", TABLE)
        archive.writestr("somedata/data/b.csv", "x,y\nv,1\n")
        archive.writestr("somedata-1.0.dist-info/METADATA", METADATA)
        archive.writestr(
            "somedata-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("somedata-1.0.dist-info/RECORD", "")
    return path


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def options(path, **changes):
    return {
        "package": "somedata",
        "version": "1.0",
        "sha256": sha256(path),
        "members": "somedata/data/a.csv",
        **changes,
    }


def test_a_member_of_a_wheel_is_read_and_kept_for_the_next_time(wheel, tmp_path):
    source = PackageSource(**options(wheel, licence="MIT", origin="here"))
    data = source.load()
    assert data["train"].num_rows == 20
    assert data["train"][3] == {"x": "w3", "y": "1"}
    assert source.locate("train", 3) == "somedata/data/a.csv line 5"
    described = source.describe()
    assert described["rows"] == {"train": 20}
    assert described["digest"] == f"sha256:{sha256(wheel)}"
    assert (described["licence"], described["origin"]) == ("MIT", "here")
    kept = list((tmp_path / "cache" / "packages").iterdir())
    assert len(kept) == 1
    identity = options(wheel)
    wheel.unlink()
    assert PackageSource(**identity).load()["train"].num_rows == 20
    kept[0].write_bytes(b"damaged")
    with pytest.raises(DataError, match="cannot be downloaded"):
        PackageSource(**identity).load()


def test_rows_are_divided(wheel):
    rule = {"by": "modulus", "modulus": 5, "validation": [1], "test": [2, 3]}
    source = PackageSource(**options(wheel, split=rule))
    data = source.load()
    assert {split: rows.num_rows for split, rows in data.items()} == {
        "train": 8, "validation": 4, "test": 8,
    }  # fmt: skip
    assert data["test"]["x"][:3] == ["w2", "w3", "w7"]
    assert source.locate("test", 2) == "somedata/data/a.csv line 9"
    shipped = {"train": "*/a.csv", "test": ["somedata/data/b.csv"]}
    data = PackageSource(**options(wheel, members=shipped)).load()
    assert [data["train"].num_rows, data["test"]["x"][:]] == [20, ["v"]]
    by_member = {"by": "member", "test": ["b.csv"]}
    data = PackageSource(**options(wheel, members="*.csv", split=by_member)).load()
    assert data["test"]["x"][:] == ["v"]


def test_training_rows_are_expanded(offline):
    path = offline / "somedata-1.0-py3-none-any.whl"
    dictionary = "a AH0\na(2) EY1\nb B IY1\nc S IY1\nc(2) K AH0\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("somedata/words.dict", dictionary)
        archive.writestr("somedata-1.0.dist-info/METADATA", METADATA)
        archive.writestr("somedata-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    source = PackageSource(
        **options(
            path,
            members="somedata/words.dict",
            split={"by": "modulus", "modulus": 3, "test": [2]},
            expand={"phonemes": "references"},
        )
    )
    data = source.load()
    assert data["train"]["phonemes"][:] == ["AH", "EY", "B IY"]
    assert data["train"]["word"][:] == ["a", "a", "b"]
    assert data["test"][0] == {"word": "c", "phonemes": "S IY", "references": ["S IY", "K AH"]}
    assert source.locate("train", 2) == "train row 3"
    with pytest.raises(DataError, match=r"source.expand: column 'refs' is missing: known: ph"):
        PackageSource(
            **options(path, members="somedata/words.dict", expand={"phonemes": "refs"})
        ).load()


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(wheel, tmp_path):
    wrong = "a" * 64
    with pytest.raises(DataError) as caught:
        PackageSource(**options(wheel, sha256=wrong)).load()
    assert str(caught.value) == (
        f"pypi package somedata 1.0: the file has sha256 {sha256(wheel)}, expected {wrong}; it is "
        "not the file that was pinned, and nothing of it was used"
    )
    assert list((tmp_path / "cache" / "packages").iterdir()) == []


def test_without_a_checksum_the_error_says_what_it_would_be(wheel):
    with pytest.raises(DataError, match=f"sha256 is not given; .* sha256 is {sha256(wheel)}"):
        PackageSource(**options(wheel, sha256=None)).load()


def test_the_build_script_of_a_file_with_another_checksum_never_runs(offline, tmp_path):
    marker = tmp_path / "ran"
    path = offline / "somedata-1.0.tar.gz"
    add_members(
        path,
        {
            "somedata-1.0/setup.py": f"open({str(marker)!r}, 'w').close()\n",
            "somedata-1.0/PKG-INFO": METADATA,
        },
    )
    with pytest.raises(DataError, match="it is not the file that was pinned"):
        PackageSource(**options(path, kind="sdist", sha256="b" * 64)).load()
    assert not marker.exists()


def add_members(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, text in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))


def test_packages_and_members_that_are_not_there(wheel):
    with pytest.raises(DataError, match=r"pypi package otherdata 1.0: cannot be downloaded: ERROR"):
        PackageSource(**options(wheel, package="otherdata")).load()
    with pytest.raises(DataError, match=r"package somedata 1.0: no file 'somedata/c.csv' in it"):
        PackageSource(**options(wheel, members="somedata/c.csv")).load()
    with pytest.raises(DataError, match=r"somedata/data/b.csv line 1: not JSON"):
        PackageSource(**options(wheel, members="*/b.csv", format="jsonl")).load()


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """A stand-in for npm that hands out one package, or fails as npm does."""
    packed = tmp_path / "packed.tgz"
    add_members(packed, {"package/ca01": "a/x b/y\n", "package/cb01": "c/x\n"})
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "npm"
    script.write_text(
        "#!/bin/sh\n"
        '[ "$1 $3 $4" = "pack --ignore-scripts --silent" ] || exit 3\n'
        f'if [ "$2" = "@me/corpus@1.2.3" ]; then cp {packed} "$6/corpus-1.2.3.tgz"\n'
        'else echo "npm error 404 Not Found" >&2; exit 1; fi\n'
    )
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return packed


def test_a_package_of_npm(npm):
    given = {
        "index": "npm", "package": "@me/corpus", "version": "1.2.3", "sha256": sha256(npm),
        "members": "c[ab]01", "format": "slash_tags",
        "split": {"by": "member", "test": ["cb*"]},
    }  # fmt: skip
    data = PackageSource(**given).load()
    assert data["train"][:] == {"tokens": [["a", "b"]], "tags": [["x", "y"]]}
    assert data["test"][:] == {"tokens": [["c"]], "tags": [["x"]]}
    with pytest.raises(DataError, match="the file has sha256"):
        PackageSource(**{**given, "sha256": "c" * 64}).load()
    with pytest.raises(DataError, match="cannot be downloaded: npm error 404 Not Found"):
        PackageSource(**{**given, "version": "9.9.9"}).load()


def test_npm_that_is_not_installed(wheel, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RunError, match="needs the program npm, which is not installed"):
        PackageSource(**options(wheel, index="npm")).load()


def test_a_cache_that_cannot_be_written(wheel, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path / "file"))
    with pytest.raises(RunError, match=r"cannot be written .*; set SEQLAB_CACHE to another one"):
        PackageSource(**options(wheel)).load()


def test_members_match_with_and_without_the_first_folder(tmp_path):
    path = tmp_path / "a.tar.gz"
    add_members(path, {"p-1/x/a.txt": "A", "p-1/b.txt": "B", "../evil.txt": "E"})
    assert read_members(path, ["x/a.txt"], "p") == {"p-1/x/a.txt": b"A"}
    assert read_members(path, ["p-1/b.txt", "x/*"], "p") == {"p-1/b.txt": b"B", "p-1/x/a.txt": b"A"}
    assert read_members(path, ["evil.txt"], "p") == {"../evil.txt": b"E"}
    assert not list(tmp_path.rglob("*.txt"))


def test_archives_are_bounded_and_must_be_archives(tmp_path, monkeypatch):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "12345")
    monkeypatch.setattr("seqlab_datasets.archives.MAX_BYTES", 4)
    with pytest.raises(DataError, match="p: its files are larger than the 4 bytes allowed"):
        read_members(path, ["a.txt"], "p")
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match="p: not a readable zip or tar archive"):
        read_members(path, ["a.txt"], "p")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"package": "a b; rm"}, "package: expected a package's name, got 'a b; rm'"),
        ({"package": "--index-url=x"}, "package: expected a package's name"),
        ({"version": ">=1"}, "version: expected a version, got '>=1'"),
        ({"sha256": "abc"}, "sha256: expected 64 hexadecimal digits or null, got 'abc'"),
        ({"index": "pipy"}, "index: expected one of 'pypi', 'npm', got 'pipy'"),
        ({"kind": "egg"}, "kind: expected one of 'wheel', 'sdist', got 'egg'"),
        ({"members": []}, "source.members: name at least one file"),
        ({"members": 3}, "members: expected a string or a list or a mapping, got 3"),
        ({"members": {}}, "source.members: name at least one file"),
        ({"members": {"tset": "a.csv"}}, "unknown 'tset': did you mean 'test'"),
        ({"members": {"test": "a.csv"}, "split": {"test": 0.1}}, "given for each split already"),
        ({"format": "cvs"}, "unknown format 'cvs'"),
        ({"split": {"tst": 0.1}}, "source.split.tst: unknown key, did you mean 'test'"),
    ],
)
def test_options_that_are_wrong(changes, message):
    given = {"package": "somedata", "version": "1.0", "sha256": "0" * 64, "members": "a.csv"}
    with pytest.raises(ConfigError, match=message):
        PackageSource(**{**given, **changes})
