"""Files that tests of sources read."""


def make(tmp_path, content, name="a.csv"):
    path = tmp_path / name
    path.write_bytes(content)
    return str(path)
