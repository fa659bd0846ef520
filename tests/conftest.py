from __future__ import annotations

import contextlib
import logging
import sys

import pytest
import torch

with contextlib.suppress(ImportError):
    # Keras's log handler takes the standard error of its first import, which is pytest's capture
    # file, and closes it when Hydra sets up its own logging
    from absl import logging as absl_logging

    absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__


#: Files of few tests that take long: first, or one process works on them when the others are done.
LONG_FILES = (
    "test_plugin_distributions.py", "test_triton_interpreted.py", "test_export_verb.py",
    "test_resume.py", "test_swept.py", "test_ddp.py", "test_microscope.py", "test_bundle.py",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    """Long files first; tests that take minutes have an hour, because the machine may be busy."""
    places = {name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _logging_as_before():
    """Hydra's handlers of a run's log do not outlive the test, nor write into its folder later."""
    before = (list(logging.root.handlers), logging.root.level)
    yield
    for handler in set(logging.root.handlers) - set(before[0]):
        handler.close()
        logging.root.removeHandler(handler)
    logging.root.setLevel(before[1])


def asymmetric(module: torch.nn.Module, scale: float = 0.5) -> torch.nn.Module:
    """Give every parameter its own random values, so that a swapped gate cannot hide."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(scale * noise)
    return module


@pytest.fixture(name="asymmetric")
def _asymmetric():
    return asymmetric
