"""The images on the page and the size of their pictures: those with problems first, then an even sample.

Decided while the rows stream by, so that fifty thousand images need no more memory than five hundred.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from yolopipe.inspection.checks.check_report import SEVERITIES, CheckReport, Hit

__all__ = ["ImageKey", "Limits", "Selection", "evenly", "flagged_images"]

ImageKey = tuple[str, str]
"""Split and path of an image."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one page holds.

    Args:
        images: listed in the gallery, with their boxes and targets.
        pictures: of these with a picture.
        large: of these with one of up to ``large_px`` a side, else ``small_px``.
        variants: of these (train only) with their other augmented copies beside them.
        copies: other copies shown of each.
        small_px: side of a thumbnail.
        large_px: side of the larger picture.
        quality: of the JPEG.
    """

    images: int = 5000
    pictures: int = 2000
    large: int = 400
    variants: int = 200
    copies: int = 3
    small_px: int = 160
    large_px: int = 416
    quality: int = 80

    @property
    def tiers(self) -> tuple[int, int, int]:
        """Listed, with a picture, with a large one."""
        return self.images, min(self.images, self.pictures), min(self.images, self.pictures, self.large)


def evenly(number: int, wanted: int, total: int) -> bool:
    """Whether ``number`` is among ``wanted`` of ``total``, spread evenly.

    >>> [number for number in range(10) if evenly(number, 3, 10)]
    [3, 6, 9]
    >>> [evenly(number, 7, 5) for number in range(5)]
    [True, True, True, True, True]
    """
    return wanted > 0 and (number + 1) * wanted // max(total, 1) > number * wanted // max(total, 1)


def flagged_images(report: CheckReport) -> Mapping[ImageKey, int]:
    """Every image that an error or warning names, and its partner, with its rank: errors first, then in order."""
    rank: dict[ImageKey, int] = {}
    for severity in SEVERITIES[:2]:
        for check in report.found(severity):
            for place in _places(check.hits):
                rank.setdefault(place, len(rank))
    return rank


def _places(hits: Iterable[Hit]) -> Iterator[ImageKey]:
    for hit in hits:
        yield (hit.split, hit.image)
        if hit.partner is not None:
            yield hit.partner


class Selection:
    """The number of tiers of each image, asked for in the order of the rows."""

    def __init__(self, limits: Limits, flagged: Mapping[ImageKey, int], images: int) -> None:
        """Divide what flagged images leave.

        Args:
            limits: how much fits.
            flagged: from :func:`flagged_images`.
            images: how many rows will be asked about.
        """
        self._flagged = flagged
        self._tiers = limits.tiers
        left = [max(0, tier - len(flagged)) for tier in self._tiers]
        self._quota = left
        self._totals = [max(0, images - len(flagged)), *left[:-1]]
        self._totals = [min(total, self._totals[0]) for total in self._totals]
        self._seen = [0, 0, 0]

    def depth(self, place: ImageKey) -> int:
        """0 not on the page, 1 listed, 2 with a picture, 3 with a large one.

        >>> selection = Selection(Limits(images=2, pictures=1, large=1), {("train", "b"): 0}, images=4)
        >>> [selection.depth(("train", name)) for name in "abcd"]
        [0, 3, 0, 1]
        """
        rank = self._flagged.get(place)
        if rank is not None:
            return sum(rank < tier for tier in self._tiers)
        for depth, (quota, total) in enumerate(zip(self._quota, self._totals, strict=True)):
            number = self._seen[depth]
            self._seen[depth] += 1
            if not evenly(number, quota, total):
                return depth
        return len(self._tiers)
