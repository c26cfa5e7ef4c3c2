"""Chains of convolutions and activations, computed for the gradient of the input and nothing else, on the CPU.

An attack needs no gradient of any parameter. So a chain of convolutions, each with its activation, can do
with less than torch's automatic differentiation, which keeps what every layer read:

- the activation is applied by oneDNN as it stores a convolution's output, and its derivative is taken
  from that output, in place: the only tensors kept are the activations' outputs;
- a convolution's backward pass is a convolution with the kernel turned around. oneDNN does that fastest
  by its forward code, on weights that are packed once and not at every call;
- a strided convolution of three colours has the gradients of its stride x stride pixel phases as output
  channels of one dense convolution (four times faster than with three channels);
- where what lies between a chain's convolutions is much larger than what goes in and out (the inverted
  residuals of mobile networks), a few images at a time go through it, so that it stays in the cache.

The function is the same up to rounding; `benchmarks/agreement.py` measures it. But where torch's ReLU hands
a NaN on, oneDNN's makes a zero of it: weights have to be finite, which `pixel_model.load` checks. What is no
such chain is left to torch. Nothing here is used on a GPU.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from crossfool.models.inference.cpu import convolution
from crossfool.models.inference.cpu.convolution import INFINITY, Affine, Clamp, Convolution
from crossfool.models.inference.cpu.inplace_writes import Writers, remove_dead_code


class Fused(nn.Module):
    """A part of a network that knows its own backward pass: images (N,C,H,W) in, (N,C',H',W') out, channels last.

    Attributes:
        keeps_output: Whether the backward pass looks at the output, which nothing may alter until then. Any other
            output may be altered in place, as a convolution's.
    """

    NEW_MEMORY = True  # for `inplace_writes`: an output shares no memory with an input
    keeps_output = True

    def forward(self, x: Tensor) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        if torch.is_grad_enabled() and x.requires_grad:
            output: Tensor = _Differentiable.apply(x, self)
            return output
        return _concatenated([self.run(piece)[-1] for piece in x.split(self.at_once(x))])

    def at_once(self, x: Tensor) -> int:
        """The number of images in a pass."""
        raise NotImplementedError

    def run(self, x: Tensor) -> list[Tensor]:
        """The tensors that the backward pass needs, always as many, and the output behind them."""
        raise NotImplementedError

    def backward(self, gradient: Tensor, kept: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
        """The gradient of an input of this shape.

        Args:
            gradient: That of the output; left as it is.
            kept: What `run` gave. Where the output is not kept, any tensor stands in its place.
            shape: Of the input.
        """
        raise NotImplementedError


class Chain(Fused):
    """Convolutions in a row, each with its activation or none.

    Args:
        convolutions: In order.
        before: Batch normalisation and its activation before the first, or None.
    """

    def __init__(self, convolutions: Sequence[Convolution], before: tuple[Affine, Clamp] | None = None) -> None:
        super().__init__()
        self.convolutions, self.before = list(convolutions), before
        self.keeps_output = self.convolutions[-1].clamp is not None

    def at_once(self, x: Tensor) -> int:
        """The number of images in a pass: all, unless the tensors inside are much larger than the output."""
        pixels, inside = x.shape[2] * x.shape[3], [0]
        for layer in self.convolutions:
            pixels //= math.prod(layer.stride)
            inside.append(pixels * layer.outputs)
        output, widest = inside.pop(), max(inside)
        if widest < 2 * output:
            return len(x)
        # an even number: threads share images
        return max(2, convolution.CACHE // (x.element_size() * widest) // 2 * 2)

    def run(self, x: Tensor) -> list[Tensor]:
        """The output of each step, the chain's own behind them."""
        kept = []
        if self.before is not None:
            affine, clamp = self.before
            x = torch.addcmul(affine.shift, x, affine.scale).clamp_(clamp.low, clamp.high)
            kept.append(x)
        for layer in self.convolutions:
            x = layer.forward(x)
            kept.append(x)
        return kept

    def backward(
        self, gradient: Tensor, kept: Sequence[Tensor], shape: Sequence[int], add_to: Tensor | None = None
    ) -> Tensor:
        """The gradient of an input of this shape, as `Fused.backward` has it.

        Args:
            gradient: As in `Fused.backward`.
            kept: As in `Fused.backward`.
            shape: As in `Fused.backward`.
            add_to: A tensor that the gradient is added to, in place, where batch normalisation comes first.
        """
        in_place, remaining = False, list(kept)  # the gradient that is given must not be overwritten
        for layer in reversed(self.convolutions):
            output = remaining.pop()
            if layer.clamp is not None:
                gradient = layer.clamp.backward(gradient, output, in_place=in_place)
            gradient, in_place = layer.backward(gradient, remaining[-1].shape if remaining else shape), True
        if self.before is not None:
            affine, clamp = self.before
            gradient = clamp.backward(gradient, remaining.pop(), in_place=True)
            return gradient.mul_(affine.scale) if add_to is None else add_to.addcmul_(gradient, affine.scale)
        return gradient


class _Differentiable(torch.autograd.Function):
    """A `Fused` part in torch's automatic differentiation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, part: Fused) -> Tensor:
        ctx.part, ctx.shape = part, x.shape
        kept: list[Tensor] = []
        outputs: list[Tensor] = []
        for piece in x.split(part.at_once(x)):
            *inner, output = part.run(piece)
            kept += inner
            outputs.append(output)
        ctx.counts = [len(output) for output in outputs]
        output = _concatenated(outputs)
        # saved through torch, which frees them once this node's backward pass is over
        ctx.save_for_backward(*kept, *([output] if part.keeps_output else []))
        return output

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        kept = list(ctx.saved_tensors)
        output = kept.pop() if ctx.part.keeps_output else gradient
        each = len(kept) // len(ctx.counts)  # tensors a piece
        pieces = zip(gradient.split(ctx.counts), output.split(ctx.counts), strict=True)
        gradients = []
        for number, (piece_gradient, piece_output) in enumerate(pieces):
            inner = kept[number * each : (number + 1) * each]
            shape = (len(piece_gradient), *ctx.shape[1:])
            gradients.append(ctx.part.backward(piece_gradient, [*inner, piece_output], shape))
        return _concatenated(gradients), None


def _concatenated(pieces: list[Tensor]) -> Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def fuse_chains(network: nn.Module) -> nn.Module:
    """Replace the chains of convolutions and activations of a traced network; any other network stays as it is.

    Args:
        network: In eval mode, float32, on the CPU, batch normalisation folded where it can be.
    """
    if not isinstance(network, fx.GraphModule) or not _usable():
        return network
    graph, modules, writers = network.graph, dict(network.named_modules()), Writers(network)
    replaced: set[fx.Node] = set()
    for node in list(graph.nodes):
        if node in replaced or not _is_convolution(node, modules):
            continue
        first, before = node, _before(node, modules)
        convolutions, nodes = [], [] if before is None else [*before[2:]]
        while True:
            replaced.add(node)
            nodes.append(node)
            clamp_node = _only_user(node)
            clamp = _clamp(clamp_node, modules)
            if clamp is not None and clamp_node is not None and not writers.later(clamp_node):
                nodes.append(clamp_node)
            else:  # an output that is altered later must not be kept
                clamp = None
            convolutions.append(Convolution(modules[str(node.target)], clamp))
            following = _only_user(nodes[-1])
            if following is None or not _is_convolution(following, modules):
                break
            node = following
        name = f"chain_{len(replaced)}_{first.name}"
        network.add_submodule(name, Chain(convolutions, None if before is None else before[:2]))
        with graph.inserting_before(nodes[0]):  # its input may be altered right behind
            replacement = graph.call_module(name, (nodes[0].all_input_nodes[0],))
        nodes[-1].replace_all_uses_with(replacement)
        for old in reversed(nodes):
            graph.erase_node(old)
    return rebuild(network)


def rebuild(network: fx.GraphModule) -> fx.GraphModule:
    """Rebuild a network whose graph was changed, without the operations and modules that nothing uses any more."""
    remove_dead_code(network)
    network.delete_all_unused_submodules()
    network.recompile()
    return network


@functools.cache
def _usable() -> bool:
    """Whether torch has oneDNN on this machine, with the operators that this module uses."""
    try:
        conv = Convolution(nn.Conv2d(3, 4, 3, padding=1).requires_grad_(False), Clamp(0.0, 6.0))
        x = torch.ones(1, 3, 8, 8).contiguous(memory_format=torch.channels_last)
        conv.backward(conv.forward(x), x.shape)
    except (AttributeError, RuntimeError):
        return False
    available: bool = torch.backends.mkldnn.is_available()
    return available


def _only_user(node: fx.Node) -> fx.Node | None:
    """The only node that reads a node; None where none or several do."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def _is_convolution(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether a node calls a convolution that `Convolution` can compute."""
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    if type(module) is not nn.Conv2d or module.padding_mode != "zeros" or isinstance(module.padding, str):
        return False
    return module.weight.dtype == torch.float32 and not hooked(module)


def hooked(module: nn.Module) -> bool:
    """Whether hooks run when a module is called, as in torch's old weight_norm, which computes the weight in one."""
    return bool(module._forward_pre_hooks or module._forward_hooks or module._backward_hooks)


def _clamp(node: fx.Node | None, modules: dict[str, nn.Module]) -> Clamp | None:
    """The activation that a node computes, if it can be fused; None for any other."""
    if node is None:
        return None
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    if module is not None and hooked(module):
        return None
    if isinstance(module, nn.Hardtanh):  # ReLU6 is one
        return Clamp(module.min_val, module.max_val) if module.min_val == 0 else None
    if isinstance(module, nn.ReLU) or (node.op == "call_function" and node.target in (F.relu, torch.relu)):
        return Clamp(0.0, INFINITY)
    return Clamp(0.0, 6.0) if node.op == "call_function" and node.target is F.relu6 else None


def _before(node: fx.Node, modules: dict[str, nn.Module]) -> tuple[Affine, Clamp, fx.Node, fx.Node] | None:
    """Batch normalisation and activation that only this convolution reads, and the nodes of both; None without."""
    (activation,) = node.all_input_nodes
    clamp = _clamp(activation, modules)
    if clamp is None or _only_user(activation) is not node or len(activation.all_input_nodes) != 1:
        return None
    (norm,) = activation.all_input_nodes
    if _only_user(norm) is not activation or norm.op != "call_module":
        return None
    module = modules[str(norm.target)]
    if type(module) is not nn.BatchNorm2d or module.training or module.running_mean is None or hooked(module):
        return None
    return Affine(module), clamp, norm, activation
