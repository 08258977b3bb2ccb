import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of this checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def drawn() -> ModuleType:
    """The functions of ``tests/drawn_project.py``."""
    spec = importlib.util.spec_from_file_location("drawn_project", Path(__file__).with_name("drawn_project.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
