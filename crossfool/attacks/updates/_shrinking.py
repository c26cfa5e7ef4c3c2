"""Steps that shrink where the direction changes sign (GRA's decay indicator, Zhu et al. 2023)."""

import torch
from torch import Tensor

from crossfool.attacks.types import Rule, Update, as_rule


def shrinking_steps(inner: Update, factor: float) -> Update:
    """An update whose steps shrink where its direction changes sign (GRA's decay indicator, Zhu et al. 2023).

    The step of each value is multiplied by `factor` at each change of its direction's sign but the first, which is
    from 0.
    """

    def update() -> Rule:
        inner_rule = as_rule(inner())
        last_sign: Tensor | None = None
        changes = torch.zeros(())

        def lengths(direction: Tensor) -> Tensor:
            nonlocal last_sign, changes
            sign = direction.sign()
            changes = changes.to(sign) + (sign != (torch.zeros_like(sign) if last_sign is None else last_sign))
            last_sign = sign
            own = factor ** (changes - 1)
            return own if inner_rule.lengths is None else own * inner_rule.lengths(direction)

        return Rule(inner_rule.direction, inner_rule.look, lengths)

    return update
