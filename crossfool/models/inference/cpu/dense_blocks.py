"""DenseNet's blocks without concatenation, for the gradient of the input and nothing else, on the CPU.

Every layer of a dense block reads what came in and what all layers before it gave. torch copies all of that for
each layer, and adds up as many pieces of its gradient. Here the block's features lie side by side in one tensor,
channels last: a layer reads the first channels, puts its own behind them, and in the backward pass adds its
gradient to the first channels'. See `fusion` for the layers themselves.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from crossfool.models.inference.cpu import convolution
from crossfool.models.inference.cpu.fusion import Chain, Fused, rebuild
from crossfool.models.inference.cpu.inplace_writes import Writers


class Block(Fused):
    """Layers whose outputs are appended to the channels that the next layer reads.

    Args:
        layers: In order; batch normalisation before their convolutions, and no activation behind.
    """

    def __init__(self, layers: Sequence[Chain]) -> None:
        super().__init__()
        self.layers = list(layers)
        self.widths = [layer.convolutions[-1].outputs for layer in layers]

    def at_once(self, x: Tensor) -> int:
        """The number of images in a pass: few enough that the block's features stay in the cache."""
        image = x.element_size() * x.shape[2] * x.shape[3] * (x.shape[1] + sum(self.widths))
        return max(2, convolution.CACHE // image // 2 * 2)  # an even number: threads share images

    def run(self, x: Tensor) -> list[Tensor]:
        """The tensors inside each layer, and the block's features (N,C+growth,H,W)."""
        count, channels, *sides = x.shape
        shape = (count, channels + sum(self.widths), *sides)
        features = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
        features[:, :channels] = x
        kept = []
        for layer, width in zip(self.layers, self.widths, strict=True):
            *inner, output = layer.run(features[:, :channels])
            features[:, channels : channels + width] = output
            kept += inner
            channels += width
        return [*kept, features]

    def backward(self, gradient: Tensor, kept: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
        """The gradient of the block's input, from that of its features and what `run` kept."""
        gradient = gradient.clone(memory_format=torch.channels_last)
        remaining, end = list(kept[:-1]), gradient.shape[1]
        for layer, width in zip(reversed(self.layers), reversed(self.widths), strict=True):
            read, appended = gradient[:, : end - width], gradient[:, end - width : end]
            inner = remaining[-len(layer.convolutions) :]
            del remaining[-len(layer.convolutions) :]
            # a layer ends in no activation, so that `backward` does not look at its output
            layer.backward(appended, [*inner, appended], read.shape, add_to=read)
            end -= width
        return gradient[:, :end].contiguous(memory_format=torch.channels_last)


def replace_dense_blocks(network: nn.Module) -> nn.Module:
    """Replace the dense blocks of a traced network whose chains were fused; any other network stays as it is."""
    if not isinstance(network, fx.GraphModule):
        return network
    graph, writers = network.graph, Writers(network)
    layers = {node: layer for node in graph.nodes if (layer := _layer(node, network)) is not None}
    reader = {_parts(node.args[0]): node for node in layers}
    concatenation = {_parts(node): node for node in graph.nodes if _is_concatenation(node)}
    for first in layers:
        parts = (*_parts(first.args[0]), first)  # the block's input, and the layers so far
        if len(parts) != 2 or parts not in concatenation:
            continue
        while parts in reader and (*parts, reader[parts]) in concatenation:
            parts = (*parts, reader[parts])
        start, *block = parts
        if len(block) < 2 or any(not _is_concatenation(user) for layer in block for user in layer.users):
            continue
        name, last = f"block_{first.name}", concatenation[parts]
        joins = {join for node in (*block, last) for join in _joins(node.args[0] if node in layers else node)}
        if any(writers.later(node) for node in (*parts, *joins)):
            continue  # the block reads its input late, and its output is kept
        network.add_submodule(name, Block([layers[layer] for layer in block]))
        with graph.inserting_before(last):
            replacement = graph.call_module(name, (start,))
        last.replace_all_uses_with(replacement)
    return rebuild(network)


def _layer(node: fx.Node, network: fx.GraphModule) -> Chain | None:
    """The chain that a node calls, if it can be a dense block's layer; None for any other node."""
    chain = network.get_submodule(str(node.target)) if node.op == "call_module" else None
    if not isinstance(chain, Chain) or chain.before is None or chain.convolutions[-1].clamp is not None:
        return None
    return chain


def _is_concatenation(node: Any) -> bool:
    """Whether a node concatenates along the channels."""
    if node.op != "call_function" or node.target is not torch.cat:
        return False
    return bool((node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)) == 1)


def _joins(node: Any) -> Iterator[fx.Node]:
    """A concatenation and the concatenations among its parts, at any depth; nothing for any other node."""
    if _is_concatenation(node):
        yield node
        for part in node.args[0]:
            yield from _joins(part)


def _parts(node: Any) -> tuple[fx.Node, ...]:
    """The nodes that a concatenation consists of, nested ones taken apart; any other node is its only part."""
    if not _is_concatenation(node):
        return (node,)
    return tuple(part for operand in node.args[0] for part in _parts(operand))
