"""The description of an exported folder by Croissant 1.0, http://mlcommons.org/croissant/1.0, as JSON-LD."""

import datetime
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crossfool.storage import exported_images, hashing

# the specification's appendix 1
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
TYPES = {".csv": "text/csv", ".json": "application/json", ".npz": "application/zip"}
# column of labels.csv -> its type and meaning
FIELDS = {
    "source": ("sc:Text", "The model attacked; members of an ensemble are joined by +."),
    "attack": ("sc:Text", "The attack's name."),
    "index": ("sc:Integer", "The image's id in the data set."),
    "label": ("sc:Integer", "The true class, from 0."),
    "class": ("sc:Text", "The name of the true class."),
    "target_label": ("sc:Integer", "The class that a targeted attack aims at; empty where it is untargeted."),
    "clean": ("sc:Text", "Path of the clean image."),
    "adversarial": ("sc:Text", "Path of the adversarial image."),
}


def describe(folder: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """Describe an exported folder, whose other files are there.

    Creator, url and date of publication are required: they are crossfool, the card beside, and today, for whoever
    publishes the folder to replace.

    Args:
        folder: The folder.
        record: Content of cells.json.
    """
    cells = ", ".join(f"{cell['source']}/{cell['attack']}" for cell in record["cells"])
    files = [path for path in sorted(folder.iterdir()) if path.suffix in TYPES and path.name != "croissant.json"]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": f"adversarial-{record['dataset']}",
        "description": f"Clean images of {record['dataset']} and adversarial images made of them: {cells}.",
        "license": {"@type": "sc:CreativeWork", "name": f"Licence of the images: {record['licence']}"},
        "url": "README.md",
        "creator": {"@type": "sc:Organization", "name": f"crossfool {record['crossfool']}"},
        "datePublished": datetime.date.today().isoformat(),
        "version": "1.0.0",
        "keywords": ["adversarial examples", "transferability", record["dataset"]],
        "distribution": [
            *(
                {
                    "@type": "cr:FileObject",
                    "@id": path.name,
                    "name": path.name,
                    "contentUrl": path.name,
                    "encodingFormat": TYPES[path.suffix],
                    "sha256": hashing.sha256(path),
                }
                for path in files
            ),
            *(
                {
                    "@type": "cr:FileSet",
                    "@id": f"{kind}-images",
                    "name": f"{kind}-images",
                    "description": f"The {kind} images.",
                    "encodingFormat": "image/png",
                    "includes": includes,
                }
                for kind, includes in (("clean", "clean/*.png"), ("adversarial", "adversarial/*/*/*.png"))
            ),
        ],
        "recordSet": [_labels(), *(_images(kind) for kind in ("clean", "adversarial"))],
    }


def _labels() -> dict[str, Any]:
    """The record set of labels.csv."""
    table = exported_images.LABELS
    return {
        "@type": "cr:RecordSet",
        "@id": "labels",
        "name": "labels",
        "description": "A record an adversarial image.",
        "key": [{"@id": f"labels/{name}"} for name in ("source", "attack", "index")],
        "field": [
            _field("labels", name, kind, meaning, {"fileObject": {"@id": table}, "extract": {"column": name}})
            for name, (kind, meaning) in FIELDS.items()
        ],
    }


def _images(kind: str) -> dict[str, Any]:
    """The record set of the images of a kind, by their paths."""
    properties = (
        ("path", "sc:Text", "The path, as the table of labels names it.", "fullpath"),
        ("image", "sc:ImageObject", "The pixels.", "content"),
    )
    name = f"{kind}_images"
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"A record of each of the {kind} images.",
        "key": {"@id": f"{name}/path"},
        "field": [
            _field(
                name,
                field,
                data_type,
                meaning,
                {"fileSet": {"@id": f"{kind}-images"}, "extract": {"fileProperty": extracted}},
            )
            for field, data_type, meaning, extracted in properties
        ],
    }


def _field(records: str, name: str, data_type: str, meaning: str, source: Mapping[str, Any]) -> dict[str, Any]:
    """A field of a record set."""
    return {
        "@type": "cr:Field",
        "@id": f"{records}/{name}",
        "name": name,
        "description": meaning,
        "dataType": data_type,
        "source": dict(source),
    }
