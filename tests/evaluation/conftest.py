from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def shards() -> ModuleType:
    """The functions of ``tests/shard_builder.py``."""
    spec = importlib.util.spec_from_file_location("shard_builder", Path(__file__).parents[1] / "shard_builder.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
