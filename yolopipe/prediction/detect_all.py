"""Images and frames through a detector: decoded ahead in threads, drawn behind in threads, results in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from itertools import islice, repeat, takewhile
from math import ceil
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from yolopipe.detection.detector import DECODE_THREADS, Detector, ImagePrediction
from yolopipe.detection.pixels import NetworkInput, upright_pixels
from yolopipe.errors import ImageError, YolopipeError
from yolopipe.files import atomic_file
from yolopipe.imaging import drawing
from yolopipe.imaging.drawing import Sketch
from yolopipe.prediction.records import PictureResult
from yolopipe.prediction.video import Frames, FrameWriter
from yolopipe.workers.threads import in_threads

__all__ = ["Record", "Reject", "draw_detections", "predict_frames", "predict_images"]

DRAW_THREADS = 2

Pixels = npt.NDArray[np.uint8]

Record = Callable[[PictureResult], None]
"""Called with each result, in order, when the picture is drawn."""

Reject = Callable[[str, ImageError], None]
"""Called with the path of each image that cannot be read, and why."""

COLOURS = (
    drawing.SKY,
    drawing.ORANGE,
    drawing.GREEN,
    drawing.YELLOW,
    drawing.VERMILLION,
    drawing.PURPLE,
    drawing.BLUE,
)


@dataclass(frozen=True)
class Picture(NetworkInput):
    """A picture between reading and drawing.

    Args:
        number: see :class:`~yolopipe.prediction.records.PictureResult`.
        upright: (H, W, 3) uint8 RGB to draw on; None when nothing is drawn.
    """

    number: int
    upright: Pixels | None


def predict_images(
    detector: Detector,
    paths: Sequence[str],
    record: Record,
    reject: Reject,
    *,
    out: Path,
    drawn: Sequence[str] | None,
) -> None:
    """Detect objects in image files; the unreadable ones are passed over.

    Args:
        detector: a trained network.
        paths: of the images.
        record: called with each result.
        reject: called with each unreadable image.
        out: the output folder.
        drawn: in it, the file to draw each image to; None draws nothing.

    Raises:
        OSError: the disk is full, for instance.
    """

    def read(item: tuple[int, str]) -> Picture | tuple[str, ImageError]:
        number, path = item
        try:
            pixels = upright_pixels(path)
        except ImageError as error:
            return path, error
        return _picture(detector, pixels, number, keep=drawn is not None)

    def readable() -> Iterator[Picture]:
        numbered = enumerate(paths, start=1)
        for picture in in_threads(read, numbered, threads=DECODE_THREADS, ahead=2 * detector.batch_size):
            if isinstance(picture, Picture):
                yield picture
            else:
                reject(*picture)

    def finish(pair: tuple[Picture, ImagePrediction]) -> PictureResult:
        picture, found = pair
        name = None if drawn is None else drawn[picture.number - 1]
        if name is not None and picture.upright is not None:
            _save(out / name, draw_detections(picture.upright, found))
        return PictureResult(paths[picture.number - 1], picture.number, found, name)

    for result in in_threads(finish, detector.stream(readable()), threads=DRAW_THREADS, ahead=detector.batch_size):
        record(result)


def predict_frames(
    detector: Detector,
    frames: Frames,
    record: Record,
    *,
    out: Path,
    drawn: str | None,
    live: bool,
    most: int | None,
) -> None:
    """Detect objects in the frames of a video or camera.

    Args:
        detector: a trained network.
        frames: an open video or camera.
        record: called with each result.
        out: the output folder.
        drawn: in it, the video to write; None writes none.  It holds the frames until then, whatever ends this.
        live: it is a camera: frames reach the network one by one, and few are read ahead.
        most: stop after so many frames; None for all.

    Raises:
        ImageError: no frame can be read, or reading fails later on; the frames before that are recorded.
        OSError: the disk is full, for instance.
    """
    batch = 1 if live else detector.batch_size
    failure: ImageError | None = None

    def numbered() -> Iterator[tuple[int, Pixels]]:
        nonlocal failure
        ahead = in_threads(lambda _: frames.next(), repeat(None), ahead=2 * batch)
        try:
            for frame in islice(takewhile(lambda frame: frame is not None, ahead), most):
                if frame is not None:
                    yield frame
        except ImageError as error:  # an end for now: the frames in flight are still to be recorded
            failure = error

    def prepare(item: tuple[int, Pixels]) -> Picture:
        return _picture(detector, item[1], item[0], keep=drawn is not None)

    def finish(pair: tuple[Picture, ImagePrediction]) -> tuple[PictureResult, Pixels | None]:
        picture, found = pair
        sketch = None if picture.upright is None else draw_detections(picture.upright, found)
        return PictureResult(frames.name, picture.number, found, drawn, of_video=True), sketch

    pictures = in_threads(prepare, numbered(), threads=DECODE_THREADS, ahead=batch)
    results = in_threads(finish, detector.stream(pictures, batch_size=batch), threads=DRAW_THREADS, ahead=batch)
    with closing(FrameWriter(out / drawn, frames.fps)) if drawn else nullcontext() as writer:
        for result, sketch in results:
            if writer is not None and sketch is not None:
                writer.write(sketch)
            record(result)
    if failure is not None:
        raise failure
    if not frames.read:
        raise ImageError("unreadable-video", f"{frames.name}: not one frame can be read")


def _picture(detector: Detector, pixels: Pixels, number: int, *, keep: bool) -> Picture:
    seen = detector.prepare(pixels)
    return Picture(seen.pixels, seen.matrix, seen.source_wh, number, pixels if keep else None)


def draw_detections(pixels: Pixels, found: ImagePrediction) -> Pixels:
    """The picture with boxes, names and scores, in a colour for each class; lines and text grow with the picture.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        found: boxes in its pixels.

    Returns:
        (H, W, 3) uint8 RGB, another array.
    """
    side = max(pixels.shape[:2])
    sketch = Sketch(pixels, text_px=max(drawing.TEXT_PX, side // 60))
    # The best is drawn last, above the others.
    boxes = list(zip(found.boxes_xyxy, found.classes, found.names, found.scores, strict=True))[::-1]
    for box, number, _, _ in boxes:
        sketch.box(box, COLOURS[number % len(COLOURS)], width=max(2, ceil(side / 500)))
    for box, number, name, score in boxes:
        sketch.label(box, f"{name} {score:.2f}", COLOURS[number % len(COLOURS)])
    return sketch.pixels()


def _save(path: Path, pixels: Pixels) -> None:
    good, encoded = cv2.imencode(path.suffix, cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    if not good:
        raise YolopipeError(f"OpenCV could not encode {path}")
    with atomic_file(path, sync=False) as partial:  # waiting for the disk takes longer than drawing
        partial.write_bytes(encoded.tobytes())
