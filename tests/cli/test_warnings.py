from __future__ import annotations

import warnings

from seqlab import cli


def test_a_warning_is_one_line_without_code(monkeypatch):
    def warn(_):
        return len(warnings.formatwarning("first\n  second", UserWarning, "file.py", 7))

    monkeypatch.setattr(cli, "_dispatch", warn)
    before = warnings.formatwarning
    assert cli.main([]) == len("warning: first second\n")
    assert warnings.formatwarning is before
