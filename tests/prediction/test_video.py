"""Frames in and out, on files that OpenCV wrote and that were damaged afterwards."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from yolopipe.errors import ImageError
from yolopipe.prediction.video import FALLBACK_FPS, Frames, FrameWriter, open_frames

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # OpenCV reads it once; some tests open videos themselves


def shade(number: int, size_wh: tuple[int, int] = (64, 48)) -> np.ndarray:
    """A frame that tells its number by its grey, and left from right."""
    frame = np.full((size_wh[1], size_wh[0], 3), 20 + 4 * number, np.uint8)
    frame[:, size_wh[0] // 2 :, 0] = 255
    return frame


def make_clip(path: Path, frames: int, fps: float = 10) -> Path:
    """A video from elsewhere, to be read."""
    code = cv2.VideoWriter.fourcc(*CODECS[path.suffix])
    writer = cv2.VideoWriter(str(path), code, fps, (64, 48))
    for number in range(frames):
        writer.write(cv2.cvtColor(shade(number), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def make_drawn(path: Path, frames: int, fps: float = 10) -> Path:
    """A video as ``predict`` writes it."""
    with closing(FrameWriter(path, fps)) as writer:
        for number in range(frames):
            writer.write(shade(number))
    return path


def frames_of(path: Path) -> tuple[list[tuple[int, np.ndarray]], Frames]:
    with open_frames(str(path)) as frames:
        return list(iter(frames.next, None)), frames


@pytest.mark.parametrize(
    ("name", "make"), [("clip.avi", make_clip), ("ein clip ü.mp4", make_clip), ("ein clip ü.webm", make_drawn)]
)
def test_what_is_written_is_read(tmp_path: Path, name: str, make: Callable[..., Path]) -> None:
    clip = make(tmp_path / name, 40, fps=12.5)
    read, frames = frames_of(clip)
    assert [number for number, _ in read] == list(range(40))
    assert frames.fps == pytest.approx(12.5)
    assert frames.promised == 40
    assert frames.shortfall() == ""
    for number, frame in read:
        assert abs(float(frame[5:43, 5:27].mean()) - (20 + 4 * number)) < 4
        assert frame[5:43, 37:60, 0].mean() > 200, "red is red"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert frames.next() is None, "closed"


def test_a_drawn_video_is_vp8_in_webm_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capture = cv2.VideoCapture(str(make_drawn(tmp_path / "clip.webm", 5)))
    codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little")
    assert (codec, capture.get(cv2.CAP_PROP_FRAME_COUNT)) == (b"VP80", 5)
    assert (tmp_path / "clip.webm").read_bytes()[:64].find(b"webm") > 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_browser_plays_a_drawn_video(tmp_path: Path, browser) -> None:
    make_drawn(tmp_path / "clip.webm", 20)
    (tmp_path / "page.html").write_text('<video src="clip.webm" muted></video>')
    tab = browser.new_page()
    tab.goto((tmp_path / "page.html").as_uri())
    tab.wait_for_function("() => { const v = document.querySelector('video'); return v.readyState >= 2 || v.error }")
    facts = tab.evaluate(
        "async () => { const v = document.querySelector('video'); await v.play();"
        " const ended = new Promise(done => { v.onended = done }); v.playbackRate = 4; await ended;"
        " return [v.videoWidth, v.videoHeight, v.error, v.currentTime,"
        " v.getVideoPlaybackQuality().totalVideoFrames] }"
    )
    tab.close()
    assert facts[:3] == [64, 48, None]
    assert facts[3] == pytest.approx(2, abs=0.2), "20 frames at 10 a second"
    assert facts[4] > 0


def test_odd_sides_and_frames_of_another_size(tmp_path: Path) -> None:
    with closing(FrameWriter(tmp_path / "odd.webm", 5)) as writer:
        for size_wh in ((33, 17), (33, 17), (60, 60), (1, 1)):
            writer.write(shade(3, size_wh))
    read, _ = frames_of(tmp_path / "odd.webm")
    assert [frame.shape for _, frame in read] == [(18, 34, 3)] * 4


def test_a_broken_frame_is_passed_over_and_named(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.avi", 30)
    content = bytearray(path.read_bytes())
    movie = content.index(b"movi")
    starts = [place for place in range(movie, len(content)) if content[place : place + 4] == b"00dc"]
    content[starts[10] + 8 : starts[11]] = bytes(starts[11] - starts[10] - 8)
    path.write_bytes(content)
    read, frames = frames_of(path)
    assert [number for number, _ in read] == [n for n in range(30) if n != 10]
    assert {"30", "29"} <= set(frames.shortfall().split())
    assert frames.shortfall(most=29) == ""


def test_a_file_that_ends_early(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.avi", 40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    read, frames = frames_of(path)
    assert 3 < len(read) < 30
    assert {f"{path}:", "40", str(len(read))} <= set(frames.shortfall().split())


@pytest.mark.parametrize("content", [b"", b"no video at all" * 99])
def test_what_is_no_video(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.mp4").write_bytes(content)
    for source in (str(tmp_path / "x.mp4"), 99):
        with pytest.raises(ImageError) as refused, open_frames(source):
            pass
        assert refused.value.rule == "unreadable-video"
        assert str(source) in refused.value.message
    with pytest.raises(ImageError) as refused, open_frames("nowhere.mp4"):
        pass
    assert refused.value.rule == "missing-video"
    assert capfd.readouterr() == ("", ""), "FFmpeg and OpenCV keep quiet"


class Capture:
    """A capture that knows nothing of itself."""

    def get(self, _: int) -> float:
        return float("nan")

    def read(self) -> tuple[bool, None]:
        return False, None

    def release(self) -> None: ...


def test_a_camera_that_ends_by_itself_has_failed() -> None:
    frames = Frames(Capture(), "camera 0", live=True)  # type: ignore[arg-type]
    assert (frames.fps, frames.promised, frames.next()) == (FALLBACK_FPS, 0, None)
    assert frames.shortfall().startswith("camera 0 ")
    assert frames.shortfall(most=5)
    frames.read = 5
    assert frames.shortfall(most=5) == ""


def test_a_driver_that_raises_is_an_unreadable_video() -> None:
    def failing() -> tuple[bool, None]:
        raise cv2.error("the driver failed")

    capture = SimpleNamespace(get=lambda _: 0.0, read=failing)
    with pytest.raises(ImageError) as failed:
        Frames(capture, "camera 0", live=True).next()  # type: ignore[arg-type]
    assert failed.value.rule == "short-video"


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, ImageError("short-video", "")])
def test_whatever_ends_it_the_video_holds_the_frames_until_then(tmp_path: Path, error) -> None:
    def ended(path: Path, count: int) -> None:
        with closing(FrameWriter(path, 10)) as writer:
            for number in range(count):
                writer.write(shade(number))
            raise error

    for count in (7, 0):
        with pytest.raises(type(error) if isinstance(error, Exception) else error):
            ended(tmp_path / f"{count}.webm", count)
    assert len(frames_of(tmp_path / "7.webm")[0]) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["7.webm"]


def test_a_full_disk_is_noticed_and_the_video_still_plays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder says nothing when it cannot write."""
    free = iter([2**20] * 7 + [1000])
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=next(free), f_frsize=1))
    with pytest.raises(OSError, match=r"clip\.webm") as full:
        make_drawn(tmp_path / "clip.webm", 40)
    assert full.value.errno == errno.ENOSPC
    assert len(frames_of(tmp_path / "clip.webm")[0]) == 7


def test_the_log_of_opencv_is_as_before_afterwards(tmp_path: Path) -> None:
    before = cv2.utils.logging.getLogLevel()
    frames_of(make_drawn(tmp_path / "clip.webm", 2))
    assert cv2.utils.logging.getLogLevel() == before
