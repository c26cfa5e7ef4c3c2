"""Plain gradient of a loss by the images."""

from crossfool.attacks.part import GradientPart
from crossfool.attacks.types import Context, Estimate


class Part(GradientPart, takes_views=True, paper=True, cite="equation 4; arXiv 1607.02533"):
    """Gradient of the loss at the image itself.

    Summary: plain gradient
    Rows:
        fgsm: one step, arXiv 1412.6572: {epsilon: 15, steps: 1, step_size: 15}
        igsm: iterated: {epsilon: 15, steps: 5, step_size: 5}
        fgsm_l2: one step in an L2 ball (FGM): {epsilon: 1500, steps: 1, step_size: 1500, norm: l2}
        igsm_l2: iterated in an L2 ball, arXiv 1706.06083: {epsilon: 1500, steps: 5, step_size: 500, norm: l2}
        igsm_targeted: towards a target label: {epsilon: 20, steps: 20, step_size: 15, objective: targeted}
    Formula:
        gradient: ∇J({point})
    """

    def estimator(self, context: Context) -> Estimate:
        if context.views is not None:
            return context.views.mean_gradient(context.together)
        from crossfool.attacks.backward import plain

        return plain
