from pathlib import Path

import pytest
import seqlab_datasets
import yaml
from seqlab.testing import check_source, parametrize_with_checks

SOURCE = Path(seqlab_datasets.__file__).parent / "conf" / "source"


@parametrize_with_checks(
    [
        ("source=mnist1d", {"rows": 100}),
        "source=scan",
        ("source=memory_task", {"rows": 40}),
        "format=python_list",
    ]
)
def test_conforms(check):
    check()


@pytest.mark.slow
def test_a_package_is_a_conforming_source():
    options = yaml.safe_load((SOURCE / "hironsan.yaml").read_text())
    assert options.pop("name") == "package"
    results = check_source("package", **options)
    assert [str(result) for result in results if result.outcome != "passed"] == []
