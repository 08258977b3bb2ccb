"""What was found in one picture, as a piece of JSON, as lines of CSV, and as entries of COCO's list of results.

Numbers are written as the shortest decimals that give the same float32 back.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from yolopipe.detection.detector import ImagePrediction
from yolopipe.prediction.coco_ids import CocoIds

__all__ = ["CSV_HEADER", "PictureResult", "coco_records", "csv_lines", "frame_record", "image_record", "video_head"]

CSV_HEADER = "image,frame,class,score,x1,y1,x2,y2\n"


@dataclass(frozen=True)
class PictureResult:
    """The detections of one image, or of one frame of a video.

    Args:
        path: of the image or video, as given; ``camera 0`` for a camera.
        number: of an image among all that were named, from 1, the unreadable ones included; of a frame in its video,
            from 0.
        found: the detections.
        drawn: the drawn image or video, relative to the output folder; None where nothing is drawn.
        of_video: it is a frame.
    """

    path: str
    number: int
    found: ImagePrediction
    drawn: str | None = None
    of_video: bool = False


def image_record(result: PictureResult) -> str:
    """An entry of ``images`` in ``predictions.json``."""
    return _json({"image": result.path, "id": result.number, **_size_and_drawn(result), **_detections(result)})


def video_head(result: PictureResult) -> str:
    """The beginning of an entry of ``videos``, up to its first frame, from that frame."""
    head = _json({"video": result.path, **_size_and_drawn(result)})
    return head.removesuffix("}") + ', "frames": ['


def frame_record(result: PictureResult) -> str:
    """An entry of ``frames``."""
    return _json({"frame": result.number, **_detections(result)})


def csv_lines(result: PictureResult) -> str:
    """One line a detection, as :data:`CSV_HEADER` names its values; none for a picture without detections."""
    text = io.StringIO()
    frame = result.number if result.of_video else ""
    rows = ([result.path, frame, name, score, *box] for name, score, box in _numbers(result.found))
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def coco_records(result: PictureResult, ids: CocoIds, image_id: Any) -> list[str]:
    """The entries of an image in COCO's list of results.

    Args:
        result: of an image: COCO has no ids for frames.
        ids: of the classes.
        image_id: of the image.
    """
    return [
        _json(
            {
                "image_id": image_id,
                "category_id": ids.category(name, int(number)),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": score,
            }
        )
        for (name, score, (x1, y1, x2, y2)), number in zip(_numbers(result.found), result.found.classes, strict=True)
    ]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _size_and_drawn(result: PictureResult) -> dict[str, Any]:
    width, height = result.found.size_wh
    return {"width": width, "height": height, **({} if result.drawn is None else {"drawn": result.drawn})}


def _detections(result: PictureResult) -> dict[str, Any]:
    return {
        "detections": [
            {"class": name, "score": score, "box_xyxy": box} for name, score, box in _numbers(result.found)
        ]
    }


def _numbers(found: ImagePrediction) -> Iterator[tuple[str, float, list[float]]]:
    """Class name, score and box of each detection."""
    for name, score, box in zip(found.names, found.scores, found.boxes_xyxy, strict=True):
        yield name, float(str(score)), [float(str(side)) for side in box]
