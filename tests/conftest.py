import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

settings.register_profile("new-examples", deadline=None)  # no test depends on how fast the machine is
settings.register_profile("same-examples", deadline=None, derandomize=True, database=None)
settings.load_profile("same-examples" if os.environ.get("YOLOPIPE_SAME_EXAMPLES") else "new-examples")


def _beside(name: str) -> ModuleType:
    """The module ``tests/NAME.py``; the tests are no package, so that it cannot be imported by name."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of this checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def drawn() -> ModuleType:
    """The functions of ``tests/drawn_project.py``."""
    return _beside("drawn_project")


@pytest.fixture(scope="session")
def shards() -> ModuleType:
    """The functions of ``tests/shard_builder.py``."""
    return _beside("shard_builder")


@pytest.fixture(scope="session")
def coco_reference() -> ModuleType:
    """The functions of ``tests/coco_reference.py``."""
    return _beside("coco_reference")


@pytest.fixture(scope="session")
def darknet() -> ModuleType:
    """The functions of ``tests/darknet_reference.py``."""
    return _beside("darknet_reference")


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """One browser for the module."""
    yield from _beside("browser").launched()


@pytest.fixture
def open_page(browser: object) -> Iterator[Callable[..., object]]:
    """``open_page(file, fragment="", **options)``: a tab; whatever it said besides is a failure."""
    opened = []

    def go(file: Path, fragment: str = "", **options: object) -> object:
        opened.append(_beside("browser").Watched(browser, file, fragment, **options))
        return opened[-1]

    yield go
    for page in opened:
        page.context.close()
        assert page.noise == []
