"""Plain gradient of a loss by the images."""

from crossfool.attacks.part import GradientPart
from crossfool.attacks.types import Context, Estimate


class Part(GradientPart, takes_views=True, paper=True, cite="equation 4; arXiv 1607.02533"):
    """Gradient of the loss at the image itself.

    Summary: plain gradient
    Formula:
        gradient: ∇J({point})
    """

    def estimator(self, context: Context) -> Estimate:
        if context.views is not None:
            return context.views.mean_gradient(context.together)
        from crossfool.attacks.backward import plain

        return plain
