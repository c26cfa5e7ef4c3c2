"""The version of this package, as artefacts' metadata name it."""

VERSION = "0.2.0"
