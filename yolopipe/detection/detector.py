"""``yolopipe.Detector``: detections of pictures, from a model file."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from yolopipe.backend import import_tensorflow
from yolopipe.config.params import Evaluate
from yolopipe.detection.nms import ImageDetections, detect_batch
from yolopipe.detection.outputs import RawScale
from yolopipe.detection.pixels import NetworkInput, network_input, upright_pixels
from yolopipe.detection.suppression import Suppression
from yolopipe.detection.to_source import detections_in_source
from yolopipe.errors import UsageError
from yolopipe.model.card import ModelCard
from yolopipe.model.model_file import load_model
from yolopipe.workers.threads import in_threads

__all__ = ["MIN_SCORE", "Detector", "ImagePrediction"]

MIN_SCORE = Evaluate().picture_score
"""What ``evaluate`` draws by default too; its summary says from which score on F1 is highest."""

DECODE_THREADS = 2

Image = str | os.PathLike[str] | npt.NDArray[Any]
Input = TypeVar("Input", bound=NetworkInput)


@dataclass(frozen=True)
class ImagePrediction:
    """The detections of one picture, best score first.

    Args:
        boxes_xyxy: (K, 4) float32 pixels of the upright picture, clipped to it.
        scores: (K,) float32, objectness times class probability.
        classes: (K,) int64, the model's number of each class.
        names: K class names.
        size_wh: width and height of the upright picture.
    """

    boxes_xyxy: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    names: tuple[str, ...]
    size_wh: tuple[int, int]

    def __len__(self) -> int:
        return len(self.scores)


class Detector:
    """A trained network that detects objects in pictures.

    Decoder, EXIF orientation and letterbox are those of training.  The first call takes seconds (the network is
    compiled), as does the first with another batch size.

    Args:
        model: a ``.weights.h5`` file that ``train`` made.
        min_score: detections score above this.
        classes: names of the classes wanted; None for all.
        nms_iou: see :class:`~yolopipe.detection.suppression.Suppression`.
        max_detections: at most so many a picture.
        batch_size: pictures that go through the network at once.

    Raises:
        DataError: the file is missing, damaged, or no model.
        UsageError: a class that the model does not know, or a number out of its range.
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        *,
        min_score: float = MIN_SCORE,
        classes: Iterable[str] | None = None,
        nms_iou: float = Evaluate().nms_iou,
        max_detections: int = Evaluate().max_detections,
        batch_size: int = Evaluate().batch_size,
    ) -> None:
        import_tensorflow()  # before anything else does: this one is quiet, and leaves memory on the GPU to others
        from yolopipe.detection.network import predictor

        network, self.card = load_model(os.fspath(model))
        self._wanted = wanted_classes(self.card, classes)
        self._suppression = Suppression(min_score, nms_iou, max_detections)
        self.batch_size = batch_size
        self._predict = predictor(network, self.card)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of all classes that the model knows, by number."""
        return self.card.class_names

    def predict(self, image: Image) -> ImagePrediction:
        """Detections of one picture.

        Args:
            image: a file, or an array of uint8 or uint16: (H, W, 3) RGB, (H, W, 4) RGBA or (H, W) grey.

        Raises:
            ImageError: the file cannot be read.
            DataError: an array of another kind.
        """
        return next(self.stream([self.prepare(upright_pixels(image))]))[1]

    def predict_batch(self, images: Sequence[Image]) -> list[ImagePrediction]:
        """Detections of each picture; files are decoded while the network works.

        Args:
            images: each as in :meth:`predict`; sizes may differ.

        Raises:
            ImageError: a file cannot be read.
            DataError: an array of another kind.
        """

        def prepared(image: Image) -> NetworkInput:
            return self.prepare(upright_pixels(image))

        inputs = in_threads(prepared, images, threads=DECODE_THREADS, ahead=2 * self.batch_size)
        return [found for _, found in self.stream(inputs)]

    def prepare(self, pixels: npt.NDArray[np.uint8]) -> NetworkInput:
        """Letterbox (H, W, 3) upright RGB pixels for :meth:`stream`."""
        return network_input(pixels, self.card.input_size)

    def stream(
        self, inputs: Iterable[Input], *, batch_size: int | None = None
    ) -> Iterator[tuple[Input, ImagePrediction]]:
        """Each input with its detections, in order; suppression of a batch runs while the network works on the next.

        Args:
            inputs: taken a batch at a time.
            batch_size: another one than the detector's.
        """
        predicted = (
            (batch, self._predict(np.stack([one.pixels for one in batch])))
            for batch in _batches(inputs, batch_size or self.batch_size)
        )
        return chain.from_iterable(in_threads(self._found, predicted))

    def _found(self, predicted: tuple[tuple[Input, ...], list[RawScale]]) -> list[tuple[Input, ImagePrediction]]:
        batch, scales = predicted
        if self._wanted is not None:
            columns = np.concatenate([np.arange(5), 5 + self._wanted])
            scales = [scale._replace(raw=scale.raw[..., columns]) for scale in scales]
        found = detect_batch(scales, self._suppression)
        return [(one, self._named(one, image)) for one, image in zip(batch, found, strict=True)]

    def _named(self, picture: NetworkInput, found: ImageDetections) -> ImagePrediction:
        kept, _ = detections_in_source(picture, found)
        classes = kept.classes if self._wanted is None else self._wanted[kept.classes]
        names = tuple(self.class_names[number] for number in classes)
        return ImagePrediction(kept.boxes_xyxy, kept.scores, classes, names, picture.source_wh)


def wanted_classes(card: ModelCard, names: Iterable[str] | None) -> npt.NDArray[np.int64] | None:
    """The numbers of some classes of a model, in the model's order; None for all.

    Raises:
        UsageError: a name that the model does not know.

    >>> card = ModelCard(("cat", "dog"), ((8.0, 8.0),) * 9, input_size=160, width=0.125, depth=0.33)
    >>> wanted_classes(card, ["dog"]).tolist()
    [1]
    """
    if names is None:
        return None
    wanted = list(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in card.class_names]
    if unknown or not wanted:
        raise UsageError(_unknown(unknown, card.class_names))
    return np.array(sorted(card.class_names.index(name) for name in wanted), np.int64)


def _unknown(names: Sequence[str], known: Sequence[str]) -> str:
    near = {name: difflib.get_close_matches(name, known, n=1, cutoff=0.5) for name in names}
    said = ", ".join(f"{name!r}" + (f" (did you mean {near[name][0]!r}?)" if near[name] else "") for name in names)
    return f"no class {said or 'was named'} in this model; it knows: {', '.join(known)}"


def _batches(inputs: Iterable[Input], size: int) -> Iterator[tuple[Input, ...]]:
    stream = iter(inputs)
    return iter(lambda: tuple(islice(stream, size)), ())
