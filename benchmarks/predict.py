"""Predicting from files against the bare network on batches in memory, in one run.

python benchmarks/predict.py MODEL.weights.h5 FOLDER [--images 300] [--batch 8]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from timing import best_seconds

from yolopipe.detection.detector import Detector
from yolopipe.detection.network import predictor
from yolopipe.detection.pixels import network_input, upright_pixels
from yolopipe.model.model_file import load_model
from yolopipe.prediction.detect_all import predict_images
from yolopipe.prediction.sources import find_sources


def main() -> None:
    """Print images a second of each way, and its share of the bare network's."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--min-score", type=float, default=0.3)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    detector = Detector(arguments.model, min_score=arguments.min_score, batch_size=arguments.batch)
    files = find_sources([str(arguments.folder)], recursive=True).images[: arguments.images]
    files = files[: len(files) // arguments.batch * arguments.batch]
    network, card = load_model(arguments.model)
    bare = predictor(network, card)
    seen = np.stack([network_input(upright_pixels(file), card.input_size).pixels for file in files])
    batches = seen.reshape(-1, arguments.batch, *seen.shape[1:])

    with tempfile.TemporaryDirectory() as folder:

        def from_files(drawn: list[str] | None) -> None:
            predict_images(detector, files, lambda _: None, lambda *_: None, out=Path(folder), drawn=drawn)

        drawn = [f"{number}.jpg" for number in range(len(files))]
        seconds = best_seconds(
            {
                "the bare network, from memory": lambda: [bare(batch) for batch in batches],
                "predict, from files": lambda: from_files(None),
                "predict, from files, drawn": lambda: from_files(drawn),
                "reading and letterboxing alone": lambda: [
                    network_input(upright_pixels(file), card.input_size) for file in files
                ],
            },
            rounds=arguments.rounds,
        )
    least = next(iter(seconds.values()))
    for name, value in seconds.items():
        print(f"{name:40} {len(files) / value:9,.1f} images/s   {least / value:5.2f}")


if __name__ == "__main__":
    main()
