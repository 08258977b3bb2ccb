"""Frames of a video file or a camera, and a video file of drawn frames; through OpenCV, without a window."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
import numpy.typing as npt

from yolopipe.backend import muted_stderr
from yolopipe.errors import ImageError, YolopipeError
from yolopipe.files import atomic_file

__all__ = ["DRAWN_SUFFIX", "FrameWriter", "Frames", "open_frames"]

Pixels = npt.NDArray[np.uint8]

FALLBACK_FPS = 25.0
"""Frames a second where a camera or file does not say."""

DRAWN_SUFFIX, CODEC = ".webm", "VP80"
"""What browsers play, of what OpenCV's wheels can write without a codec of the system: they have no H.264 encoder.
VP9 plays in the same browsers and takes three times as long to encode."""

LEAST_FREE = 256 * 1024
"""Bytes on the disk that a video leaves free: the encoder does not say when it could not write."""

EXACT_COUNTS = {".avi"}
"""Files that list their frames.  The others give a duration, or frames that are not meant to be shown, so that one
in a hundred (and one) may be missing without anything being wrong."""

MOST_BROKEN = 64
"""So many broken frames in a row are the end."""


class Frames:
    """The frames of an open video.

    Args:
        capture: the open video of OpenCV.
        name: for messages.
        live: it is a camera, which has no end.
    """

    def __init__(self, capture: cv2.VideoCapture, name: str, *, live: bool = False) -> None:
        self.name, self.live = name, live
        self._capture: cv2.VideoCapture | None = capture
        self._lock = Lock()  # a thread that reads ahead must not meet a released capture
        self.fps = _sensible(capture.get(cv2.CAP_PROP_FPS), most=1000.0) or FALLBACK_FPS
        self.promised = round(_sensible(capture.get(cv2.CAP_PROP_FRAME_COUNT), most=1e9))
        """How many frames the file says it has; 0 where it does not, as for a camera."""
        self.read = self._failed = 0

    def next(self) -> tuple[int, Pixels] | None:
        """Number, from 0, and pixels of the next frame, (H, W, 3) uint8 RGB; None at the end.

        A frame that cannot be decoded is passed over: for OpenCV it looks like the end, but reading goes on.

        Raises:
            ImageError: the camera or its driver fails.
        """
        with self._lock:
            for _ in range(MOST_BROKEN):
                try:
                    good, frame = self._capture.read() if self._capture else (False, None)
                except cv2.error as error:
                    raise ImageError("short-video", f"{self.name} failed after frame {self.read}: {error}") from None
                if good and frame is not None:
                    self.read += 1
                    number = self.read + self._failed - 1
                    return number, np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
                if self.read + self._failed + 1 >= self.promised:
                    return None
                self._failed += 1
        return None

    def close(self) -> None:
        """Release the file or camera; there is no next frame any more."""
        with self._lock:
            if self._capture:
                self._capture.release()
            self._capture = None

    def shortfall(self, most: int | None = None) -> str:
        """A sentence when fewer frames came than were expected, else an empty string.

        Args:
            most: reading stopped after so many; None for at the end.
        """
        if most is not None and self.read >= most:
            return ""
        if self.live:
            return f"{self.name} stopped after {self.read:,} frames"
        missing = min(self.promised, most or self.promised) - self.read
        exact = os.path.splitext(self.name)[1].lower() in EXACT_COUNTS
        if missing <= (0 if exact else 1 + self.promised // 100):
            return ""
        return f"{self.name}: expected {self.promised:,} frames, {self.read:,} could be read (cut short or damaged)"


def _sensible(value: float, *, most: float) -> float:
    """OpenCV answers with 0, -1, NaN or huge numbers where it does not know."""
    return value if 0 < value <= most else 0.0


@contextmanager
def open_frames(source: str | int) -> Iterator[Frames]:
    """Open a video file, or the camera of a number.

    Raises:
        ImageError: it cannot be opened, or its first frame cannot be read.
    """
    live = isinstance(source, int)
    name = f"camera {source}" if live else str(source)
    if isinstance(source, str) and not os.path.isfile(source):
        raise ImageError("missing-video", f"no video file {source}")
    with _quiet():
        capture = cv2.VideoCapture(source)
        if not capture.isOpened():
            more = "" if live else " (cut short, damaged, or of an unknown kind)"
            raise ImageError("unreadable-video", f"{name} cannot be opened as video{more}")
        frames = Frames(capture, name, live=live)
        try:
            yield frames
        finally:
            frames.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the log of OpenCV and FFmpeg off standard error: the errors raised here say more."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # read once, when the first video is opened
    log = cv2.utils.logging
    before = log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(before)


class FrameWriter:
    """A video file, VP8 in WebM, under a temporary name until it is closed; without a frame no file is made.

    Args:
        path: the file; it ends with :data:`DRAWN_SUFFIX`.
        fps: frames a second.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._path, self._fps = path, fps
        self._writer: cv2.VideoWriter | None = None
        self._size_wh = (0, 0)
        self._stack = ExitStack()

    def write(self, frame: Pixels) -> None:
        """Append an (H, W, 3) RGB frame; one of another size than the first is scaled to it.

        Raises:
            OSError: the disk is full.  The frames so far are in the file.
        """
        height, width = frame.shape[:2]
        self._check_space()
        if self._writer is None:
            self._size_wh = (width + width % 2, height + height % 2)  # the codec wants even sides
            self._writer = self._opened()
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

    def close(self) -> None:
        """Write the index that players need, and give the file its name."""
        if self._writer is not None:
            self._writer.release()
        self._stack.close()

    def _check_space(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        disk = os.statvfs(self._path.parent)
        if disk.f_bavail * disk.f_frsize < LEAST_FREE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))

    def _opened(self) -> cv2.VideoWriter:
        with ExitStack() as stack:
            stack.enter_context(_quiet())
            partial = stack.enter_context(atomic_file(self._path))
            with muted_stderr():  # OpenCV warns of the tag, whatever its log level, and writes the file all the same
                writer = cv2.VideoWriter(str(partial), cv2.VideoWriter.fourcc(*CODEC), self._fps, self._size_wh)
            if not writer.isOpened():
                raise YolopipeError(f"OpenCV cannot write {self._path} ({CODEC})")
            self._stack = stack.pop_all()
        return writer
