from __future__ import annotations

import re
from pathlib import Path

import keras
import numpy as np
import pytest

from yolopipe.errors import DataError
from yolopipe.export.darknet_cfg import darknet_cfg
from yolopipe.model.card import ModelCard
from yolopipe.model.darknet_layout import FileFit, Layout
from yolopipe.model.darknet_weights import LEAST_VARIANCE, load_darknet, steady, write_darknet
from yolopipe.model.yolov3 import YOLOv3

IMAGES = np.random.default_rng(5).random((2, 64, 64, 3), np.float32)


@pytest.fixture(scope="module")
def untrained(darknet):
    keras.utils.set_random_seed(2)
    model = YOLOv3(3, **darknet.SMALL)
    return model, model.get_weights()


@pytest.fixture
def small(untrained):
    """A network of three classes with the same random weights for each test."""
    model, weights = untrained
    model.set_weights(weights)
    return model


@pytest.fixture(scope="module")
def true_size():
    return YOLOv3(80)


def card(classes: int, size: int, width: float, depth: float) -> ModelCard:
    anchors = ((10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119), (116, 90), (156, 198), (373, 326))
    names = tuple(f"class {number}" for number in range(classes))
    return ModelCard(names, anchors, input_size=size, width=width, depth=depth)


def flat(model: keras.Model) -> np.ndarray:
    return np.concatenate([weight.ravel() for weight in model.get_weights()])


@pytest.mark.slow
@pytest.mark.parametrize("header", [{"version": (0, 2), "seen": 2**40}, {"version": (0, 1), "seen": 7}])
def test_we_read_what_opencv_reads(darknet, small, tmp_path: Path, header) -> None:
    """A file by an independent writer gives OpenCV and us the same three outputs."""
    cfg, weights = darknet.write(tmp_path, darknet.small_cfg(), darknet.random_weights(darknet.small_cfg()), **header)
    assert load_darknet(weights, small) == FileFit(39, 3)
    ours = small(IMAGES, training=False)
    assert darknet.worst_difference(ours, darknet.opencv_outputs(cfg, weights, IMAGES)) < 1e-4


@pytest.mark.slow
def test_but_for_epsilon_we_read_every_file_as_opencv_does(darknet, tmp_path: Path) -> None:
    """It takes 1e-6 where Darknet on a GPU takes 1e-5; small variances show that, and nothing else."""
    tiny = darknet.random_weights(darknet.small_cfg(), least_variance=1e-5)
    cfg, weights = darknet.write(tmp_path, darknet.small_cfg(), tiny)
    theirs = darknet.opencv_outputs(cfg, weights, IMAGES)
    for epsilon, same in ((1e-5, False), (1e-6, True)):
        model = YOLOv3(3, **darknet.SMALL)
        for layer in model.layers:
            if layer.name.endswith("_norm"):
                assert layer.epsilon == 1e-5
                layer.epsilon = epsilon
        load_darknet(weights, model)
        assert (darknet.worst_difference(model(IMAGES, training=False), theirs) < 1e-4) == same


def test_opencv_reads_what_we_write(darknet, small, tmp_path: Path) -> None:
    """Also where running variances are so small that another epsilon would show."""
    tiny = darknet.random_weights(darknet.small_cfg(), least_variance=1e-7)
    load_darknet(darknet.write(tmp_path, darknet.small_cfg(), tiny)[1], small)
    ours = small(IMAGES, training=False)
    (tmp_path / "our.cfg").write_text(darknet_cfg(small, card(3, 64, **darknet.SMALL)))
    differences = []
    for steadied in (True, False):
        write_darknet(tmp_path / "our.weights", small, steadied=steadied)
        theirs = darknet.opencv_outputs(tmp_path / "our.cfg", tmp_path / "our.weights", IMAGES)
        differences.append(darknet.worst_difference(ours, theirs))
    assert differences[0] < 1e-4
    assert differences[1] > 1e-3, "the same numbers mean something else to OpenCV: that is what steady() is for"


def test_written_and_read_is_the_same_file(darknet, small, tmp_path: Path) -> None:
    _, weights = darknet.write(tmp_path, darknet.small_cfg(), darknet.random_weights(darknet.small_cfg()))
    load_darknet(weights, small)
    write_darknet(tmp_path / "again.weights", small)
    assert (tmp_path / "again.weights").read_bytes() == weights.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("least_variance", "training", "tolerance"), [(1e-7, False, 1e-4), (0.3, False, 1e-4), (0.3, True, 0.01)]
)
def test_steadied_and_read_is_the_same_network(
    darknet, small, tmp_path: Path, least_variance: float, training: bool, tolerance: float
) -> None:
    """Also in further training: only the epsilon beside the batch's own variance then differs a little."""
    arrays = darknet.random_weights(darknet.small_cfg(), least_variance=least_variance)
    load_darknet(darknet.write(tmp_path, darknet.small_cfg(), arrays)[1], small)
    write_darknet(tmp_path / "steady.weights", small, steadied=True)
    before = [np.asarray(output) for output in small(IMAGES, training=training)]
    load_darknet(tmp_path / "steady.weights", small)
    assert darknet.worst_difference(small(IMAGES, training=training), before) < tolerance


def test_steady_is_exact_and_makes_every_epsilon_agree() -> None:
    rng = np.random.default_rng(1)
    count = 400
    variance = np.concatenate([[0.0], np.exp(rng.uniform(np.log(1e-9), np.log(1e3), count - 1))]).astype(np.float32)
    beta, gamma, mean = rng.normal(0, 1, (3, count)).astype(np.float32)
    kernel = rng.normal(0, 1, (count, 2, 1, 1)).astype(np.float32)
    plain = [beta, gamma, mean, variance, kernel]
    x = rng.normal(0, 1, 2)

    def answer(arrays, root):
        b, g, m, v, k = (array.astype(np.float64) for array in arrays)
        return g * (k[:, :, 0, 0] @ x - m) / root(v) + b

    truth = answer(plain, lambda v: np.sqrt(v + 1e-5))
    steadied = [np.asarray(array, np.float32) for array in steady(plain, epsilon=1e-5)]
    lifted = variance + 1e-5 < LEAST_VARIANCE
    assert (steadied[3] >= LEAST_VARIANCE * 0.999).all()
    assert (steadied[3][lifted] < 4 * LEAST_VARIANCE).all()
    np.testing.assert_array_equal(steadied[3][~lifted], variance[~lifted])
    for root in (lambda v: np.sqrt(v + 1e-5), lambda v: np.sqrt(v + 1e-6), lambda v: np.sqrt(v) + 1e-6):
        np.testing.assert_allclose(answer(steadied, root), truth, rtol=2e-6, atol=2e-6)
    mantissas = [np.frexp(array)[0] for array in (kernel, steadied[4], mean, steadied[2])]
    np.testing.assert_array_equal(mantissas[0], mantissas[1])  # powers of two: no digit is lost
    np.testing.assert_array_equal(mantissas[2], mantissas[3])


@pytest.mark.slow
def test_our_cfg_of_the_true_network_is_yolov3_cfg(darknet, true_size) -> None:
    text = darknet_cfg(true_size, card(80, 608, 1.0, 1.0))
    written = darknet.parse_cfg(text)
    expected = darknet.parse_cfg(darknet.cfg_text(darknet.yolov3_cfg(608, 80)))
    assert len(written) == 108
    assert [kind for kind, _ in written] == [kind for kind, _ in expected]
    for (_, ours), (_, theirs) in zip(written, expected, strict=True):
        assert {key: ours.get(key) for key in theirs} == theirs


def test_the_sizes_of_known_files(true_size) -> None:
    """Bytes of the files that are published: yolov3.weights, darknet53.conv.74."""
    layout = Layout.of(true_size)
    assert layout.fit((248_007_048 - 20) // 4) == FileFit(75, 80)
    assert layout.fit((162_482_580 - 20) // 4) == FileFit(52, None)
    assert layout.fit(layout.backbone_floats + 1024 * 1000 + 1000) == FileFit(52, None)  # darknet53.weights
    assert [layout.fit((248_007_048 - 20) // 4 + extra) for extra in (-1, 1, 2692)] == [None] * 3


@pytest.mark.slow
@pytest.mark.parametrize("width", [0.125, 0.25])
def test_every_number_of_classes_is_read_off_the_size(darknet, width: float) -> None:
    stages = ((8, 8, 1), (16, 8, 1), (32, 16, 1), (64, 32, 1), (128, 64, 1))
    layout = Layout.of(YOLOv3(2, width=width, depth=0.1))
    for classes in (1, 2, 3, 20, 80, 365, 9418):
        if width == 0.125:
            sections = darknet.yolov3_cfg(64, classes, 8, stages, ((64, 128), (32, 64), (16, 32)), (16, 12), (32, 16))
            floats = sum(f * (c * k * k + (4 if n else 1)) for f, c, k, n, _ in darknet.shapes(sections))
            assert layout.floats(classes) == floats
        assert layout.fit(layout.floats(classes)) == FileFit(39, classes)
        assert all(layout.fit(layout.floats(classes) + extra) is None for extra in (-1, 1))


@pytest.mark.slow
def test_files_that_end_before_the_first_head(darknet, small, tmp_path: Path) -> None:
    """What ``darknet partial`` writes; from the backbone on any whole convolution may be the last."""
    arrays = darknet.random_weights(darknet.small_cfg())
    other = YOLOv3(3, **darknet.SMALL)
    load_darknet(darknet.write(tmp_path, darknet.small_cfg(), arrays)[1], other)
    fresh = small.get_weights()
    for count in (16, 17, 22):
        small.set_weights(fresh)
        (tmp_path / "part").write_bytes(darknet.weights_bytes(arrays[: 5 * count]))
        assert load_darknet(tmp_path / "part", small) == FileFit(count, None)
        ours, theirs = flat(small), flat(other)
        loaded = sum(array.size for array in arrays[: 5 * count])
        assert (ours == theirs).sum() >= loaded
        assert (ours == theirs).sum() < loaded + 2000
    (tmp_path / "part").write_bytes(darknet.weights_bytes(arrays[: 5 * 15]))
    with pytest.raises(DataError, match=r"\b16 of 39 "):
        load_darknet(tmp_path / "part", small)


def damaged(data: bytes) -> dict[str, tuple[bytes, str]]:
    nan, negative = bytearray(data), bytearray(data)
    nan[20 + 4 * 9 : 20 + 4 * 10] = np.float32(np.nan).tobytes()
    negative[20 + 4 * 25 : 20 + 4 * 26] = np.float32(-1).tobytes()
    per_class = 3 * (129 + 65 + 33)
    return {
        "truncated in the middle": (data[: len(data) // 2], r"\b\d+ of 39 \((backbone|neck)_"),
        "truncated in the backbone": (data[:5000], r"\b1,245 \(4,980 bytes\): .* \d of 39 "),
        "header alone": (data[:20], r"\b0 \(0 bytes\): .* 1 of 39 \(backbone_00_conv\)"),
        "header truncated": (data[:17], r"\b0 \(0 bytes\)"),
        "one number less": (
            data[:-4],
            rf"\b{per_class - 1} numbers more .*\b2 classes\b.* 1 number fewer",
        ),
        "one number more": (data + bytes(4), r"\b1 number more .*\b3 classes\b"),
        "one byte more": (data + b"\0", r"\b0 numbers and 1 byte more .*\b3 classes\b"),
        "empty": (b"", r"\b0 bytes\b"),
        "text": (b"train/a.jpg 1,2,3,4,0\n" * 9, r"b'train/a\.jpg '"),
        "a zip": (b"PK\x03\x04" + bytes(10_000), "b'PK"),
        "not a number": (
            bytes(nan),
            r"\b1 of 39 \(backbone_00_conv\): gamma .* not finite",
        ),
        "negative variance": (bytes(negative), r"\b1 of 39 .*: moving_variance .* negative"),
    }


DAMAGED = sorted(damaged(bytes(400)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_are_refused_and_not_loaded(darknet, small, tmp_path: Path, kind: str) -> None:
    data = darknet.weights_bytes(darknet.random_weights(darknet.small_cfg()))
    content, fact = damaged(data)[kind]
    path = tmp_path / "böse datei.weights"
    path.write_bytes(content)
    before = flat(small)
    with pytest.raises(DataError, match=fact) as caught:
        load_darknet(path, small)
    assert str(path) in str(caught.value)
    assert caught.value.hint
    if kind not in ("not a number", "negative variance"):
        np.testing.assert_array_equal(flat(small), before)
    if "number" in kind and kind != "not a number":
        assert re.search(r"\b546,752 .*\b2,187,008 bytes .*\b3 classes\b", caught.value.message)


def test_a_missing_file_and_a_folder(small, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
        load_darknet(tmp_path / "nowhere", small)
    with pytest.raises(DataError, match=re.escape(str(tmp_path))):
        load_darknet(tmp_path, small)


@pytest.mark.parametrize(
    ("floats", "name"),
    [(62_001_757, "YOLOv3 with 80 classes"), (61_587_112, "YOLOv3 with 3 classes"), (40_620_640, "Darknet-53")],
)
def test_a_file_of_the_full_size_network_is_recognised_by_a_smaller_one(small, floats: int, name: str) -> None:
    text = Layout.of(small).misfit(4 * floats)
    assert f"{name} with model.width: 1.0 and model.depth: 1.0" in text
    assert f"{floats:,} ({4 * floats:,} bytes)" in text
