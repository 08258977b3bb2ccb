"""What `inspect-labels` is asked for: a data set, one rule, or one image, each with the options it has."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from yolopipe import paths
from yolopipe.errors import UsageError
from yolopipe.inspection.checks.rules import RULES
from yolopipe.pages.document import page_path

__all__ = ["DatasetRequest", "ImageRequest", "LabelRequest", "RuleRequest", "label_request"]


@dataclass(frozen=True, kw_only=True)
class DatasetRequest:
    """The totals of one split, every check, and the page if one is wanted.

    Args:
        split: whose totals.
        copy: of which augmented copy; None for all.
        out: a PNG of the first images.
        page: the HTML file to write.
        open_page: show the page in the browser.
    """

    split: str = "train"
    copy: int | None = None
    out: Path | None = None
    page: Path | None = None
    open_page: bool = False


@dataclass(frozen=True)
class RuleRequest:
    """One rule of the checks with all its places."""

    rule: str


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """One image and its labels.

    Args:
        image: its path as in the annotation text, enough of its end to be unique, or its name without suffix.
        split: where it is.
        copy: which augmented copy.
        scale: a stride, for the grid of that scale alone.
        out: a PNG of the image and its labels.
    """

    image: str
    split: str = "train"
    copy: int = 0
    scale: int | None = None
    out: Path | None = None


LabelRequest = DatasetRequest | RuleRequest | ImageRequest


def label_request(
    *,
    image: str | None = None,
    only: str | None = None,
    split: str = "train",
    copy: int | None = None,
    scale: int | None = None,
    out: str | Path | None = None,
    html: str | Path | None = None,
    open_page: bool = False,
) -> LabelRequest:
    """The request that the options of the command line make.

    Raises:
        UsageError: options that exclude each other, a rule that does not exist, another suffix than ``.png`` of
            ``out`` or than ``.html`` of ``html``.

    >>> label_request(image="cat.jpg", scale=16)
    ImageRequest(image='cat.jpg', split='train', copy=0, scale=16, out=None)
    """
    if image is not None and only is not None:
        raise UsageError("--only shows one rule over the whole data set, --image shows one image: give one of them")
    if image is None and scale is not None:
        raise UsageError("--scale shows the grid of one image", hint=f"--image NAME --scale {scale}")
    if (html is not None or open_page) and (image is not None or only is not None):
        raise UsageError("the page shows the whole data set", hint="leave out --image and --only; the page has both")
    if only is not None and (out is not None or copy is not None):
        raise UsageError("--only lists the places of a rule in copy 0", hint="leave out --out and --copy")
    file = None if out is None else _png(Path(out))
    if only is not None:
        return RuleRequest(_known_rule(only))
    if image is not None:
        return ImageRequest(image=image, split=split, copy=copy or 0, scale=scale, out=file)
    page = page_path(paths.LABELS_PAGE if html is None else html) if html is not None or open_page else None
    return DatasetRequest(split=split, copy=copy, out=file, page=page, open_page=open_page)


def _png(out: Path) -> Path:
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out writes a PNG, got {str(out)!r}", hint=f"--out {out.with_suffix('.png')}")
    return out


def _known_rule(rule: str) -> str:
    if rule not in RULES:
        near = difflib.get_close_matches(rule, RULES, n=1, cutoff=0.5)
        hint = f"--only {near[0]}" if near else None
        raise UsageError(f"there is no rule {rule!r}; the rules are {', '.join(RULES)}", hint=hint)
    return rule
