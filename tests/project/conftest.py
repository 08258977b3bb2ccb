import subprocess

import cv2
import numpy as np
import pytest


def annotate(root, name, boxes, size=(96, 64), seed=0):
    """One VOC image with bright boxes on noise, and its XML."""
    width, height = size
    pixels = np.random.default_rng([seed, *name.encode()]).integers(0, 90, (height, width, 3)).astype(np.uint8)
    objects = []
    for kind, x1, y1, x2, y2 in boxes:
        pixels[y1:y2, x1:x2] = 255 if kind == "cat" else (40, 200, 40)
        corners = "".join(
            f"<{tag}>{v}</{tag}>" for tag, v in zip(("xmin", "ymin", "xmax", "ymax"), (x1, y1, x2, y2), strict=True)
        )
        objects.append(f"<object><name>{kind}</name><difficult>0</difficult><bndbox>{corners}</bndbox></object>")
    (root / "JPEGImages" / f"{name}.jpg").write_bytes(cv2.imencode(".jpg", pixels)[1].tobytes())
    (root / "Annotations" / f"{name}.xml").write_text(
        f"<annotation>\n<filename>{name}.jpg</filename>\n<size><width>{width}</width><height>{height}</height>"
        f"<depth>3</depth></size>\n" + "\n".join(objects) + "\n</annotation>\n"
    )


def draw_voc(root, splits):
    """A Pascal VOC folder; ``splits`` names how many images each list has, in order of the images."""
    for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (root / folder).mkdir(parents=True)
    number = 0
    random = np.random.default_rng(3)
    for split, count in splits.items():
        names = [f"photo {number + index}" for index in range(count)]
        number += count
        for index, name in enumerate(names):
            x, y, side = (int(v) for v in random.integers((0, 0, 15), (50, 20, 40)))
            boxes = [("cat", x, y, x + side, y + side), ("dog", 55, 30, 55 + side, 62)]
            annotate(root, name, boxes[: 2 - index % 2])
        (root / "ImageSets/Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return root


@pytest.fixture
def voc(tmp_path):
    """Makes a drawn VOC folder beside the project: ``voc(train=4, val=2)``."""
    return lambda **splits: draw_voc(tmp_path / "a voc ö", splits)


@pytest.fixture
def git(tmp_path, monkeypatch):
    """Runs git with a name of its own."""
    (tmp_path / "gitconfig").write_text("[user]\nname = t\nemail = t@example.org\n[init]\ndefaultBranch = main\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return lambda *arguments: subprocess.run(["git", *arguments], check=True, capture_output=True)
