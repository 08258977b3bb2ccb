import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import settings

from tests.helpers import browser as browser_tabs
from tests.helpers import coco_reference as coco_reference_module
from tests.helpers import darknet_reference, drawn_project, shard_builder
from tests.helpers import float64 as float64_module
from tests.helpers import tiny as tiny_module

# No test depends on how fast the machine is.  More examples: pytest --hypothesis-profile=thorough
settings.register_profile("new-examples", deadline=None, max_examples=50)
settings.register_profile("same-examples", deadline=None, max_examples=25, derandomize=True, database=None)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.register_profile("fast", deadline=None, max_examples=10)  # make test-fast
settings.load_profile("same-examples" if os.environ.get("YOLOPIPE_SAME_EXAMPLES") else "new-examples")

# A shell starts background jobs with Ctrl-C ignored; they and all they start would then wait where it is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of this checkout."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def drawn() -> ModuleType:
    """The functions of ``tests/helpers/drawn_project.py``."""
    return drawn_project


@pytest.fixture(scope="session")
def shards() -> ModuleType:
    """The functions of ``tests/helpers/shard_builder.py``."""
    return shard_builder


@pytest.fixture(scope="session")
def float64() -> ModuleType:
    """The functions of ``tests/helpers/float64.py``."""
    return float64_module


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The function of ``tests/helpers/tiny.py``."""
    return tiny_module


@pytest.fixture
def in_float64(float64: ModuleType) -> Iterator[None]:
    """The whole test computes in float64."""
    with float64.computing():
        yield


@pytest.fixture(scope="session")
def coco_reference() -> ModuleType:
    """The functions of ``tests/helpers/coco_reference.py``."""
    return coco_reference_module


@pytest.fixture(scope="session")
def darknet() -> ModuleType:
    """The functions of ``tests/helpers/darknet_reference.py``."""
    return darknet_reference


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """One browser for the module: while Playwright runs, no test beside it could start an event loop of its own."""
    yield from browser_tabs.launched()


@pytest.fixture
def open_page(browser: object) -> Iterator[Callable[..., object]]:
    """``open_page(file, fragment="", **options)``: a tab; whatever it said besides is a failure."""
    opened = []

    def go(file: Path, fragment: str = "", **options: object) -> object:
        opened.append(browser_tabs.Watched(browser, file, fragment, **options))
        return opened[-1]

    yield go
    for page in opened:
        page.context.close()
        assert page.noise == []


@pytest.fixture(scope="session")
def trained(drawn: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with PNG shards and a model: the network of the package, its weights random and loud."""
    import keras

    from yolopipe.model.model_file import save_model
    from yolopipe.model.yolov3 import YOLOv3
    from yolopipe.shards.manifest import load_manifest
    from yolopipe.stages import augment, parse, precompute
    from yolopipe.training.trainer import card_of

    folder = tmp_path_factory.mktemp("trained project")
    drawn.draw(folder, images=24, size=64)
    config = drawn.make_config(precompute={"input_size": 64, "encoding": "png"}, model={"width": 0.125, "depth": 0.1})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (parse, augment, precompute):
            stage.run(config, workers=1)
        card = card_of(config, load_manifest("data/shards"))
        keras.utils.set_random_seed(5)
        model, rng = YOLOv3(len(card.class_names), width=card.width, depth=card.depth), np.random.default_rng(5)
        for weight in model.weights:  # else every score is the prior's hundredth
            if weight.path.endswith("bias"):
                weight.assign(rng.normal(0, 1.5, weight.shape))
        for name in ("best", "last"):
            save_model(f"models/{name}.weights.h5", model, card)
    return folder


@pytest.fixture
def project(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project as working folder; tests write elsewhere."""
    monkeypatch.chdir(trained)
    return trained
