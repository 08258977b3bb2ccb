"""Frames of a video file or a camera, and a video file of drawn frames; through OpenCV, without a window."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
import numpy.typing as npt

from yolopipe.errors import ImageError, YolopipeError
from yolopipe.files import atomic_file

__all__ = ["FrameWriter", "Frames", "open_frames", "video_writer"]

Pixels = npt.NDArray[np.uint8]

FALLBACK_FPS = 25.0
"""Where a camera or file does not say."""

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
"""What OpenCV's wheels can write without a codec of the system's; ``mp4v`` is MPEG-4 part 2, not H.264."""

EXACT_COUNTS = {".avi"}
"""Files that list their frames.  The others give a duration, or frames that are not meant to be shown, so that one
in a hundred (and one) may be missing without anything being wrong."""


MOST_BROKEN = 64
"""So many broken frames in a row are the end."""


class Frames:
    """The frames of an open video.

    Args:
        capture: of OpenCV.
        name: for messages.
    """

    def __init__(self, capture: cv2.VideoCapture, name: str) -> None:
        self.name = name
        self._capture: cv2.VideoCapture | None = capture
        self._lock = Lock()  # a thread that reads ahead must not meet a capture that was let go
        self.fps = _sensible(capture.get(cv2.CAP_PROP_FPS), most=1000.0) or FALLBACK_FPS
        self.promised = round(_sensible(capture.get(cv2.CAP_PROP_FRAME_COUNT), most=1e9))
        """How many frames the file says it has; 0 where it does not, as for a camera."""
        self.read = self._failed = 0

    def next(self) -> tuple[int, Pixels] | None:
        """Number, from 0, and pixels of the next frame, (H, W, 3) uint8 RGB; None at the end.

        One that cannot be decoded is passed over: OpenCV says the same of it as of the end, and goes on when asked.
        """
        with self._lock:
            for _ in range(MOST_BROKEN):
                good, frame = self._capture.read() if self._capture else (False, None)
                if good and frame is not None:
                    self.read += 1
                    number = self.read + self._failed - 1
                    return number, np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
                if self.read + self._failed + 1 >= self.promised:
                    return None
                self._failed += 1
        return None

    def close(self) -> None:
        """Let the file or camera go; there is no next frame any more."""
        with self._lock:
            if self._capture:
                self._capture.release()
            self._capture = None

    def shortfall(self) -> str:
        """A sentence when fewer frames came than the file promises; empty when all did."""
        lacking = self.promised - self.read
        exact = os.path.splitext(self.name)[1].lower() in EXACT_COUNTS
        if lacking <= (0 if exact else 1 + self.promised // 100):
            return ""
        return (
            f"{self.name} ends early or has broken frames: it promises {self.promised:,} frames, "
            f"{self.read:,} could be read"
        )


def _sensible(value: float, *, most: float) -> float:
    """OpenCV answers with 0, -1, NaN or huge numbers where it does not know."""
    return value if 0 < value <= most else 0.0


@contextmanager
def open_frames(source: str | int) -> Iterator[Frames]:
    """Open a video file, or the camera of a number.

    Raises:
        ImageError: it cannot be opened, or its first frame cannot be read.
    """
    name = f"camera {source}" if isinstance(source, int) else source
    if isinstance(source, str) and not os.path.isfile(source):
        raise ImageError("missing-video", f"no video file {source}")
    with _quiet():
        capture = cv2.VideoCapture(source)
        if not capture.isOpened():
            more = "" if isinstance(source, int) else " (cut short, damaged, or of an unknown kind)"
            raise ImageError("unreadable-video", f"{name} cannot be opened as video{more}")
        frames = Frames(capture, name)
        try:
            yield frames
        finally:
            frames.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """No lines of OpenCV and FFmpeg on standard error: the errors we raise say more."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read once, when the first video is opened
    log = cv2.utils.logging
    before = log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(before)


class FrameWriter:
    """Writes frames of one size to a video file.

    Args:
        path: the file; its suffix decides the codec.
        fps: frames a second.
        shown: the name to use in messages.
    """

    def __init__(self, path: Path, fps: float, shown: Path) -> None:
        self._path, self._fps, self._shown = path, fps, shown
        self._writer: cv2.VideoWriter | None = None
        self._size_wh = (0, 0)
        self.frames = 0

    def write(self, frame: Pixels) -> None:
        """Append an (H, W, 3) RGB frame; one of another size than the first is scaled to it."""
        height, width = frame.shape[:2]
        if self._writer is None:
            self._size_wh = (width + width % 2, height + height % 2)  # the codecs want even sides
            code = cv2.VideoWriter.fourcc(*CODECS[self._path.suffix])
            self._writer = cv2.VideoWriter(str(self._path), code, self._fps, self._size_wh)
            if not self._writer.isOpened():
                raise YolopipeError(f"OpenCV cannot write {self._shown} ({CODECS[self._path.suffix]})")
        bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        if (width, height) != self._size_wh:
            right, down = self._size_wh[0] - width, self._size_wh[1] - height
            padded = right in (0, 1) and down in (0, 1)
            bgr = (
                cv2.copyMakeBorder(bgr, 0, down, 0, right, cv2.BORDER_REPLICATE)
                if padded
                else cv2.resize(bgr, self._size_wh)
            )
        self._writer.write(bgr)
        self.frames += 1

    def close(self) -> None:
        """Write the index that players need."""
        if self._writer is not None:
            self._writer.release()


@contextmanager
def video_writer(path: Path, fps: float) -> Iterator[FrameWriter]:
    """Write a video file that appears whole: also after Ctrl-C, with the frames until then.

    At least one frame must be written.

    Args:
        path: ends with one of :data:`CODECS`.
        fps: frames a second.
    """
    interrupted = False
    with _quiet(), atomic_file(path) as partial:
        writer = FrameWriter(partial, fps, path)
        try:
            yield writer
        except KeyboardInterrupt:
            if not writer.frames:
                raise
            interrupted = True
        finally:
            writer.close()
    if interrupted:
        raise KeyboardInterrupt
