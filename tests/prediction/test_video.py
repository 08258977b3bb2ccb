"""Frames in and out, on files that OpenCV wrote and that were damaged afterwards."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from yolopipe.errors import ImageError
from yolopipe.prediction.video import FALLBACK_FPS, Frames, open_frames, video_writer


def shade(number: int, size_wh: tuple[int, int] = (64, 48)) -> np.ndarray:
    """A frame that tells its number by its grey, and left from right."""
    frame = np.full((size_wh[1], size_wh[0], 3), 20 + 4 * number, np.uint8)
    frame[:, size_wh[0] // 2 :, 0] = 255
    return frame


@pytest.fixture(params=["clip.avi", "ein clip ü.mp4"])
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / request.param
    with video_writer(path, 12.5) as writer:
        for number in range(40):
            writer.write(shade(number))
    return path


def frames_of(path: Path) -> tuple[list[tuple[int, np.ndarray]], Frames]:
    with open_frames(str(path)) as frames:
        return list(iter(frames.next, None)), frames


def test_what_is_written_is_read(clip: Path) -> None:
    read, frames = frames_of(clip)
    assert [number for number, _ in read] == list(range(40))
    assert frames.fps == pytest.approx(12.5)
    assert frames.promised == 40
    assert frames.shortfall() == ""
    for number, frame in read:
        assert abs(float(frame[5:43, 5:27].mean()) - (20 + 4 * number)) < 4
        assert frame[5:43, 37:60, 0].mean() > 200, "red is red"
    assert [path.name for path in clip.parent.iterdir()] == [clip.name]
    assert frames.next() is None, "closed"


def test_odd_sides_and_frames_of_another_size(tmp_path: Path) -> None:
    with video_writer(tmp_path / "odd.mp4", 5) as writer:
        for size_wh in ((33, 17), (33, 17), (60, 60), (1, 1)):
            writer.write(shade(3, size_wh))
    read, _ = frames_of(tmp_path / "odd.mp4")
    assert [frame.shape for _, frame in read] == [(18, 34, 3)] * 4


def test_a_broken_frame_is_passed_over_and_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    with video_writer(path, 10) as writer:
        for number in range(30):
            writer.write(shade(number))
    content = bytearray(path.read_bytes())
    movie = content.index(b"movi")
    starts = [place for place in range(movie, len(content)) if content[place : place + 4] == b"00dc"]
    content[starts[10] + 8 : starts[11]] = bytes(starts[11] - starts[10] - 8)
    path.write_bytes(content)
    read, frames = frames_of(path)
    assert [number for number, _ in read] == [n for n in range(30) if n != 10]
    assert frames.shortfall().endswith("it promises 30 frames, 29 could be read")


def test_a_file_that_ends_early(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    with video_writer(path, 10) as writer:
        for number in range(40):
            writer.write(shade(number))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    read, frames = frames_of(path)
    assert 3 < len(read) < 30
    assert f"clip.avi ends early or has broken frames: it promises 40 frames, {len(read)} could" in frames.shortfall()


@pytest.mark.parametrize("content", [b"", b"no video at all" * 99])
def test_what_is_no_video(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.mp4").write_bytes(content)
    for source in (str(tmp_path / "x.mp4"), 99):
        with pytest.raises(ImageError, match="cannot be opened as video"), open_frames(source):
            pass
    with pytest.raises(ImageError, match="no video file nowhere"), open_frames("nowhere.mp4"):
        pass
    assert capfd.readouterr() == ("", ""), "FFmpeg and OpenCV keep quiet"


class Capture:
    """A capture that knows nothing of itself."""

    def get(self, _: int) -> float:
        return float("nan")

    def read(self) -> tuple[bool, None]:
        return False, None

    def release(self) -> None: ...


def test_a_camera_that_tells_nothing() -> None:
    frames = Frames(Capture(), "camera 0")  # type: ignore[arg-type]
    assert (frames.fps, frames.promised, frames.next(), frames.shortfall()) == (FALLBACK_FPS, 0, None, "")


def test_after_ctrl_c_the_video_holds_the_frames_until_then(tmp_path: Path) -> None:
    def interrupted(path: Path, count: int) -> None:
        with video_writer(path, 10) as writer:
            for number in range(count):
                writer.write(shade(number))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "some.mp4", 7)
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path / "none.mp4", 0)
    assert len(frames_of(tmp_path / "some.mp4")[0]) == 7
    assert [path.name for path in tmp_path.iterdir()] == ["some.mp4"]


def test_another_error_leaves_no_video(tmp_path: Path) -> None:
    def failing() -> None:
        with video_writer(tmp_path / "x.mp4", 10) as writer:
            writer.write(shade(1))
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        failing()
    assert not list(tmp_path.iterdir())


def test_opencv_is_heard_again_afterwards(clip: Path) -> None:
    before = cv2.utils.logging.getLogLevel()
    frames_of(clip)
    assert cv2.utils.logging.getLogLevel() == before
