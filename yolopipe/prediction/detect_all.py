"""Pictures and frames through a detector: decoded ahead in threads, drawn behind in threads, results in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice, repeat, takewhile
from math import ceil
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from yolopipe.console import Advance
from yolopipe.detection.detector import DECODE_THREADS, Detector, ImagePrediction
from yolopipe.detection.pixels import NetworkInput, upright_pixels
from yolopipe.errors import ImageError, YolopipeError
from yolopipe.files import atomic_file
from yolopipe.imaging import drawing
from yolopipe.imaging.drawing import Sketch
from yolopipe.prediction.records import Looked
from yolopipe.prediction.video import Frames, video_writer
from yolopipe.workers.threads import in_threads

__all__ = ["Outcome", "draw_found", "predict_frames", "predict_images"]

DRAW_THREADS = 2

Pixels = npt.NDArray[np.uint8]

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
    """A picture on its way: what the network sees, and what is drawn on.

    Args:
        path: of the image or video.
        number: see :class:`~yolopipe.prediction.records.Looked`.
        upright: (H, W, 3) uint8 RGB; None when nothing is drawn.
    """

    path: str
    number: int
    upright: Pixels | None


@dataclass
class Outcome:
    """What a run has come to so far.

    Args:
        looked: pictures in order.
        problems: path and error of what could not be read, or not to its end.
        drawn: file by path, relative to the output folder.
    """

    looked: list[Looked] = field(default_factory=list)
    problems: list[tuple[str, ImageError]] = field(default_factory=list)
    drawn: dict[str, str] = field(default_factory=dict)


def predict_images(
    detector: Detector, paths: Sequence[str], outcome: Outcome, advance: Advance, *, drawn: Sequence[Path] | None
) -> None:
    """Look at image files; what cannot be read is noted, and the rest is done.

    Args:
        detector: does it.
        paths: of the images.
        outcome: added to, an image at a time, so that it is right when Ctrl-C ends this.
        advance: told of each image, good or bad.
        drawn: where to draw each; None draws nothing.
    """

    def read(item: tuple[int, str]) -> Picture | tuple[str, ImageError]:
        number, path = item
        try:
            pixels = upright_pixels(path)
        except ImageError as error:
            return path, error
        return _picture(detector, pixels, path, number, keep=drawn is not None)

    def good() -> Iterator[Picture]:
        numbered = enumerate(paths, start=1)
        for picture in in_threads(read, numbered, threads=DECODE_THREADS, ahead=2 * detector.batch_size):
            if isinstance(picture, Picture):
                yield picture
            else:
                outcome.problems.append(picture)
                advance(1)

    def finish(pair: tuple[Picture, ImagePrediction]) -> Looked:
        picture, found = pair
        if drawn is not None and picture.upright is not None:
            _save(drawn[picture.number - 1], draw_found(picture.upright, found))
        return Looked(picture.path, picture.number, found)

    for looked in in_threads(finish, detector.stream(good()), threads=DRAW_THREADS, ahead=detector.batch_size):
        outcome.looked.append(looked)
        advance(1)


def predict_frames(
    detector: Detector,
    frames: Frames,
    outcome: Outcome,
    advance: Advance,
    *,
    drawn: Path | None,
    live: bool,
    most: int | None,
) -> None:
    """Look at the frames of a video or camera.

    Args:
        detector: does it.
        frames: open.
        outcome: added to, a frame at a time.
        advance: told of each frame.
        drawn: the video to write; None writes none.
        live: frames are looked at one by one, for a camera, and not read far ahead.
        most: stop after so many frames.

    Raises:
        ImageError: not one frame can be read.
    """
    batch = 1 if live else detector.batch_size
    ahead = in_threads(lambda _: frames.next(), repeat(None), ahead=2 * batch)
    stream = takewhile(lambda frame: frame is not None, ahead)
    first = next(stream, None)
    if first is None:
        raise ImageError("unreadable-video", f"{frames.name}: not one frame can be read")
    numbered = (frame for frame in islice(chain([first], stream), most) if frame is not None)

    def prepare(item: tuple[int, Pixels]) -> Picture:
        return _picture(detector, item[1], frames.name, item[0], keep=drawn is not None)

    def finish(pair: tuple[Picture, ImagePrediction]) -> tuple[Looked, Pixels | None]:
        picture, found = pair
        sketch = None if picture.upright is None else draw_found(picture.upright, found)
        return Looked(picture.path, picture.number, found, of_video=True), sketch

    def look(write: Callable[[Pixels], None]) -> None:
        pictures = in_threads(prepare, numbered, threads=DECODE_THREADS, ahead=batch)
        found = detector.stream(pictures, batch_size=batch)
        for looked, sketch in in_threads(finish, found, threads=DRAW_THREADS, ahead=batch):
            if sketch is not None:
                write(sketch)
            outcome.looked.append(looked)
            advance(1)

    if drawn is None:
        look(lambda _: None)
    else:
        with video_writer(drawn, frames.fps) as writer:
            look(writer.write)


def _picture(detector: Detector, pixels: Pixels, path: str, number: int, *, keep: bool) -> Picture:
    seen = detector.prepare(pixels)
    return Picture(seen.pixels, seen.matrix, seen.source_wh, path, number, pixels if keep else None)


def draw_found(pixels: Pixels, found: ImagePrediction) -> Pixels:
    """The picture with boxes, names and scores, in a colour for each class; lines and text grow with the picture.

    Args:
        pixels: (H, W, 3) uint8 RGB.
        found: in its pixels.

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
    with atomic_file(path, sync=False) as partial:  # waiting for the disk took 8 ms, drawing 2
        partial.write_bytes(encoded.tobytes())
