"""What tests do to a bundle, and what is then said of it."""

from __future__ import annotations

import hashlib
import json

import pytest
import seqlab
from seqlab.errors import BundleError


def rewrite(folder, name, change):
    """Change a JSON file and make the manifest agree, as an attacker would."""
    path = folder / name
    value = json.loads(path.read_text())
    replaced = change(value)
    value = replaced if isinstance(replaced, list) else value
    path.write_text(json.dumps(value))
    if name != "manifest.json":
        manifest = json.loads((folder / "manifest.json").read_text())
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        manifest["files"][name] = {"sha256": digest, "size": len(content)}
        (folder / "manifest.json").write_text(json.dumps(manifest))


def one_line_error(folder):
    with pytest.raises(BundleError) as caught:
        seqlab.load(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)
