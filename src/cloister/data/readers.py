"""A folder of pictures with labels, read whole or refused with the file and line to mend.

Convention::

    dataset/
      images/  a.png  b.jpg …            (or the pictures lie in the folder itself)
      labels/  a.json  b.csv …           one file per picture, named as the picture
      labels.csv                         or one for all: file,x,y[,diameter]

Tables are read by `data.tables`. Nothing is skipped silently: a file among the pictures that cannot be used, a label
without its picture, two pictures of one name are errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cloister.data.images import LIMITS, SUFFIXES, ImageLimits, Pixels, decode_image, image_size
from cloister.data.labels import Labels, parse_common_labels, parse_csv_labels, parse_json_labels
from cloister.foundation.errors import BadInput, NotFound
from cloister.foundation.files import read_limited

MAX_IMAGES = 100_000
_LABEL_BYTES = 64 << 20


@dataclass(frozen=True)
class LabelledImage:
    """One picture of a dataset, on this machine.

    Args:
        stem: the file's name without its ending.
        path: where it lies.
        labels: the objects in it; None if nobody labelled it.
        label_path: where the labels were read from.
    """

    stem: str
    path: Path
    labels: Labels | None
    label_path: Path | None

    def pixels(self, limits: ImageLimits = LIMITS) -> Pixels:
        """The decoded picture."""
        return decode_image(self.path, limits)


def read_image_folder(
    folder: Path, *, require_labels: bool = False, limits: ImageLimits = LIMITS, most: int | None = None
) -> tuple[LabelledImage, ...]:
    """All pictures of a dataset folder in order of their names, labels checked against each picture's size.

    Args:
        folder: laid out as above.
        require_labels: refuse a picture without labels.
        limits: for every picture.
        most: look at no more than so many pictures, evenly spread over the folder; at all, if absent.

    Raises:
        NotFound: no such folder.
        BadInput: no pictures, a file that is none, labels that are malformed, ambiguous or have no picture.
    """
    pictures = _pictures(folder)
    common_path = folder / "labels.csv"
    own = _label_files(folder / "labels")
    common: Mapping[str, Labels] | None = None
    if common_path.exists():
        if own:
            raise BadInput(
                "The dataset has its labels twice.",
                "There are both labels.csv and a folder labels.",
                "Keep one of them.",
            )
        common = parse_common_labels(read_limited(common_path, _LABEL_BYTES), "labels.csv")
    _no_orphans(pictures, own, common)
    found = []
    for path in pictures if most is None else pictures[:: max(1, -(-len(pictures) // most))]:
        labels, label_path = _labels_of(path, own, common, common_path)
        if labels is None and require_labels:
            raise BadInput(
                f"The picture {path.name} has no labels.",
                "This use needs them for every picture.",
                f"Add labels/{path.stem}.json, or take the picture out. A picture without objects has an empty list.",
            )
        width, height = image_size(path, limits)
        if labels is not None:
            labels.check_inside(width, height, path.name)
        found.append(LabelledImage(path.stem, path, labels, label_path))
    return tuple(found)


def folder_files(folder: Path) -> tuple[Path, ...]:
    """Every file that `read_image_folder` would use, unread, in order of their paths. Raises as that does."""
    common = folder / "labels.csv"
    return tuple(
        sorted(
            [
                *_pictures(folder),
                *_label_files(folder / "labels").values(),
                *([common] if common.exists() else []),
            ]
        )
    )


def labels_told(images: tuple[LabelledImage, ...]) -> Literal["none", "centres", "centres and diameters"]:
    """Which labels all labelled pictures have, for the catalogue."""
    labelled = [image.labels for image in images if image.labels is not None]
    if not labelled:
        return "none"
    return "centres and diameters" if all(labels.diameters is not None for labels in labelled) else "centres"


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}.", "", "Check the path.")
    home = folder / "images" if (folder / "images").is_dir() else folder
    pictures, strangers = [], []
    for path in sorted(home.iterdir()):
        if path.name.startswith(".") or path.name.lower() in ("thumbs.db", "desktop.ini") or path.is_dir():
            continue
        if path.suffix.lower() in SUFFIXES:
            pictures.append(path)
        elif home != folder or path.suffix.lower() not in (".csv", ".md", ".txt", ".json"):
            strangers.append(path.name)
    if strangers:
        raise BadInput(
            f"{strangers[0]} lies among the pictures and cannot be opened.",
            f"There are {len(strangers)} such files; pictures end in {', '.join(sorted(SUFFIXES))}.",
            "Convert them, or move them out of the folder.",
        )
    if not pictures:
        raise BadInput(
            f"There are no pictures in {home}.",
            "A dataset of pictures needs some.",
            "Name the folder that holds them.",
        )
    if len(pictures) > MAX_IMAGES:
        raise BadInput(
            "The folder has too many pictures.", f"The limit is {MAX_IMAGES}.", "Split the dataset."
        )
    stems: dict[str, Path] = {}
    for path in pictures:
        other = stems.setdefault(path.stem, path)
        if other != path:
            raise BadInput(
                f"{other.name} and {path.name} differ only in their ending.",
                "Labels could mean either.",
                "Rename one of them.",
            )
    return pictures


def _label_files(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_dir():
            continue
        if path.suffix.lower() not in (".json", ".csv"):
            raise BadInput(
                f"{path.name} lies among the labels.",
                "Labels end in .json or .csv.",
                "Move it out of the folder.",
            )
        if path.stem in found:
            raise BadInput(
                f"There are two label files for {path.stem}.", "One .json and one .csv.", "Keep one of them."
            )
        found[path.stem] = path
    return found


def _no_orphans(pictures: list[Path], own: Mapping[str, Path], common: Mapping[str, Labels] | None) -> None:
    stems = {path.stem for path in pictures}
    names = {path.name for path in pictures}
    lost = [path.name for stem, path in own.items() if stem not in stems]
    lost += [name for name in common or () if name not in names]
    if lost:
        raise BadInput(
            f"There are labels for {lost[0]} but no such picture.",
            f"{len(lost)} labels have no picture.",
            "Name each label file as its picture, or take it out.",
        )


def _labels_of(
    path: Path, own: Mapping[str, Path], common: Mapping[str, Labels] | None, common_path: Path
) -> tuple[Labels | None, Path | None]:
    if common is not None:
        labels = common.get(path.name)
        return labels, common_path if labels is not None else None
    beside = own.get(path.stem)
    if beside is None:
        return None, None
    data = read_limited(beside, _LABEL_BYTES)
    parse = parse_json_labels if beside.suffix.lower() == ".json" else parse_csv_labels
    return parse(data, beside.name), beside
