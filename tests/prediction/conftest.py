from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

SIZE = 64


@pytest.fixture(scope="session")
def trained(drawn: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with PNG shards and a model: the network of the package, its weights random and loud."""
    import keras

    from yolopipe.model.model_file import save_model
    from yolopipe.model.yolov3 import YOLOv3
    from yolopipe.shards.manifest import load_manifest
    from yolopipe.stages import augment, parse, precompute
    from yolopipe.training.learner import card_of

    folder = tmp_path_factory.mktemp("trained project")
    drawn.draw(folder, images=24, size=SIZE)
    config = drawn.make_config(
        precompute={"input_size": SIZE, "encoding": "png"}, model={"width": 0.125, "depth": 0.1}
    )
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
