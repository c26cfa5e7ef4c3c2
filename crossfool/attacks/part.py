"""Base classes of an attack's parts: what a part declares of itself, and the methods by which it computes.

A part is the class `Part` of a module in `gradients/`, `inputs/`, `updates/`, `losses/` or `noise/`; the module's name
is its name in params.yaml. Its fields are keys of the row. Its docstring puts it into words, see `words`. Modules of
parts are loaded to validate params.yaml: torch is imported in the methods that compute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from crossfool.attacks.types import Context, Estimate, Loss, Model, Noise, Update, Views
from crossfool.config import Section

if TYPE_CHECKING:
    from torch import Tensor


class BasePart(Section):
    """A part of an attack.

    Attributes:
        cite: The paper that it comes from.
        paper: Whether it is a part of the attacks of the paper that this benchmark reproduces.
        random: Whether it draws at random, so that the key `seed` is of use.
        smoke: Key -> its largest value in a smoke run.
        whole_steps: Whether steps stay whole numbers where `epsilon` and `step_size` are.
    """

    cite: ClassVar[str] = ""
    paper: ClassVar[bool] = False
    random: ClassVar[bool] = False
    smoke: ClassVar[Mapping[str, int]] = {}
    whole_steps: ClassVar[bool] = True

    def __init_subclass__(
        cls,
        *,
        cite: str = "",
        paper: bool = False,
        random: bool | None = None,
        smoke: Mapping[str, int] | None = None,
        whole_steps: bool | None = None,
        **options: Any,
    ) -> None:
        super().__init_subclass__(**options)
        cls.cite, cls.paper, cls.smoke = cite, paper, smoke or {}
        cls.random = cls.random if random is None else random
        cls.whole_steps = cls.whole_steps if whole_steps is None else whole_steps

    @classmethod
    def part_name(cls) -> str:
        """The part's name in params.yaml."""
        return cls.__module__.rpartition(".")[2]

    def misuse(self, row: Any) -> str:
        """Why the part cannot work in a row, `config.Attack`, that is valid otherwise; "" where it can."""
        return ""


class GradientPart(BasePart):
    """A gradient estimator: the row's `gradient`.

    Attributes:
        noise: Name of the noise that it adds to images where the row has no `noise`; "" for an estimator without.
        takes_views: Whether it averages over `Context.views`; a row of views is refused where it does not.
    """

    noise: ClassVar[str] = ""
    takes_views: ClassVar[bool] = False

    def __init_subclass__(cls, *, noise: str = "", takes_views: bool = False, **options: Any) -> None:
        cls.noise, cls.takes_views = noise, takes_views
        super().__init_subclass__(**options)

    @property
    def evaluations(self) -> int:
        """Gradient evaluations an image and step, of one view of the image."""
        return 1

    @property
    def drawn(self) -> int:
        """Samples of noise a step: the key `samples`, where the part has it."""
        return int(getattr(self, "samples", 1))

    def estimator(self, context: Context) -> Estimate:
        """Make the estimator of one attack on a batch of images; it may keep state from step to step.

        It returns gradients as the loss has them: neither signed nor normalised.
        """
        raise NotImplementedError

    def adjusted(self, update: Update) -> Update:
        """Adjust the row's update rule to this estimator; as it is, where the estimator asks nothing of it."""
        return update


class NoisePart(BasePart, random=True):
    """A distribution of noise: the row's `noise`."""

    def draw(self, ids: Sequence[int], seed: int, samples: int) -> Noise:
        """Make the noise of one attack: each image's is drawn by (seed, image id, step), whatever the batch.

        Args:
            ids: The images' ids in the data set, (N,).
            seed: The attack's seed.
            samples: How many samples a step takes.
        """
        raise NotImplementedError


class InputPart(BasePart):
    """An input transformation; a row has it by the key of its name.

    It overrides one method of the three that compute, or `views` and `loss` for copies that are transformed at random.
    Views come first, then transformations of the loss, then of the gradient; several of a kind by name.

    Attributes:
        takes_pool: Whether it draws from `Context.pool`, the clean images of the whole subset.
    """

    takes_pool: ClassVar[bool] = False

    def __init_subclass__(cls, *, takes_pool: bool = False, **options: Any) -> None:
        cls.takes_pool = takes_pool
        super().__init_subclass__(**options)

    @property
    def evaluations(self) -> int:
        """The factor by which it multiplies gradient evaluations: its number of views."""
        return 1

    def views(self, context: Context) -> Views | None:
        """Views of an image whose gradients are averaged; None for the image as it is.

        Args:
            context: The attack, whose own `views` are not known yet.
        """
        return None

    def loss(self, loss: Loss, context: Context) -> Loss:
        """Make a loss of transformed images from a loss of images (kN,C,H,W), k copies one behind the other."""
        return loss

    def gradient(self, gradient: Tensor) -> Tensor:
        """Transform each step's gradient (N,C,H,W)."""
        return gradient

    @classmethod
    def stage(cls) -> int:
        """The stage of the step in which it is applied: 0 for views, 1 for the loss, 2 for the gradient."""
        if cls.views is not InputPart.views:
            return 0
        return 1 if cls.loss is not InputPart.loss else 2


class UpdatePart(BasePart, whole_steps=False):
    """An update rule: the row's `update`. One whose steps are α times a sign says `whole_steps=True`."""

    def update(self, step_size: float) -> Update:
        """Make the rule, whose state begins anew with each attack.

        Args:
            step_size: α, in pixel values; in a row with `norm: l2` α/√n for images of n values, so that a step
                of equal changes has the length α.
        """
        raise NotImplementedError


class LossPart(BasePart):
    """A loss that is driven up: the row's `loss`.

    Attributes:
        takes_logits: Whether it takes logits in place of log-probabilities, of an ensemble the mean of its members'. It
            cannot work by `fusion: probabilities`, which is a mean of no logits.
    """

    takes_logits: ClassVar[bool] = False

    def __init_subclass__(cls, *, takes_logits: bool = False, **options: Any) -> None:
        cls.takes_logits = takes_logits
        super().__init_subclass__(**options)

    def misuse(self, row: Any) -> str:
        probabilities = self.takes_logits and row.fusion == "probabilities"
        return (
            f"loss: {self.part_name()} takes logits, of an ensemble their mean; set fusion: logits"
            if probabilities
            else ""
        )

    def loss(self, log_probabilities: Model, labels: Tensor, targeted: bool) -> Loss:
        """Make the loss of images (kN,C,H,W), k copies of N images one behind the other.

        Args:
            log_probabilities: The source: images -> log-probabilities (kN,K), of one model log-softmax of its logits;
                or where the part `takes_logits`, the logits.
            labels: Classes to leave, or to reach where `targeted`, (N,).
            targeted: Whether the attack aims at the labels.
        """
        raise NotImplementedError

    def loss_of_both(self, source: Model, labels: Tensor, target_labels: Tensor, targeted: bool) -> Loss:
        """Make the loss from an image's true label and its target label; a loss that needs both overrides it.

        Args:
            source: The first argument of `loss`.
            labels: True classes, (N,).
            target_labels: Classes that a targeted attack aims at, (N,).
            targeted: Whether the attack aims at the target labels.
        """
        return self.loss(source, target_labels if targeted else labels, targeted)
