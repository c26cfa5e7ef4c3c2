"""Operations of a traced network that write into their input, and the memory that they may alter.

torch.fx traces an in-place operation like any other, and records nothing about memory. Code that moves, joins or
removes operations has to know: an output that is kept for the backward pass must not be altered behind it.
"""

import inspect
import operator
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

# Modules and functions whose output is memory of its own; any other may return its input, or a view of it.
NEW_MODULES = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.Linear,
)
ARITHMETIC = {operator.add, operator.sub, operator.mul, operator.truediv}
NEW_FUNCTIONS = {torch.cat, torch.add, torch.mul, F.batch_norm, F.conv2d, F.linear, torch.conv2d, F.max_pool2d}
AUGMENTED = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor", "lshift", "rshift")
INPLACE_OPERATORS = {operator.setitem, operator.delitem, *(getattr(operator, f"i{name}") for name in AUGMENTED)}
TUPLES = {"chunk", "split", "split_with_sizes", "tensor_split", "unbind", "hsplit", "vsplit", "dsplit"}
KNOWN = {"torch", "_operator", "operator", "builtins", "math"}  # packages whose in-place functions are recognisable


class _Proxy(fx.Proxy):
    """A value in a network that is being traced; keeps `x += y` in place, where torch.fx's own has `x = x + y`."""


class _Tracer(fx.Tracer):
    """torch.fx's tracer, with values that keep operations in place."""

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)


def _augmented(target: Callable[[Any, Any], Any]) -> Callable[[fx.Proxy, Any], fx.Proxy]:
    """The method of `_Proxy` that traces an augmented assignment as the in-place operator `target`."""
    return lambda left, right: left.tracer.create_proxy("call_function", target, (left, right), {})


for _name in AUGMENTED:
    setattr(_Proxy, f"__i{_name}__", _augmented(getattr(operator, f"i{_name}")))


def trace(network: nn.Module) -> fx.GraphModule:
    """Trace a network like `torch.fx.symbolic_trace`, but keep operations in place; raises whatever that raises."""
    tracer = _Tracer()
    graph = tracer.trace(network)
    module = fx.GraphModule(tracer.root, graph, type(network).__name__)
    writers = Writers(module)
    for node in list(graph.nodes):
        # a tensor that the network creates at each call is one constant of the graph: writes need a copy
        if node.op == "get_attr" and str(node.target).startswith("_tensor_constant") and writers.later(node):
            with graph.inserting_after(node):
                copy = graph.call_function(torch.clone, (node,))
            node.replace_all_uses_with(copy, lambda user, copy=copy: user is not copy)
        elif node.op == "call_method" and node.target == "view":
            node.target = "reshape"  # a convolution's output has its channels last here, which not every view can take
    module.recompile()
    return module


def written_nodes(node: fx.Node, modules: dict[str, nn.Module]) -> list[fx.Node]:
    """The nodes whose values an operation alters in place; for an unknown function, all that it reads."""
    if node.op == "call_module":
        return _first_argument(node) if getattr(modules.get(str(node.target)), "inplace", False) else []
    if node.op == "call_method":
        return _first_argument(node) if _underscored(str(node.target)) else []
    if node.op != "call_function":
        return []
    if schema := getattr(node.target, "_schema", None):  # torch.ops
        return node.all_input_nodes if schema.is_mutable else []
    if "out" in node.kwargs:
        return _nodes(node.kwargs["out"])
    if node.target in INPLACE_OPERATORS or _underscored(getattr(node.target, "__name__", "")):
        return _first_argument(node)
    if str(getattr(node.target, "__module__", None) or "torch").split(".")[0] not in KNOWN:
        return node.all_input_nodes
    return _first_argument(node) if _asked_in_place(node) else []


class Writers:
    """The operations that write into each value of a network.

    Args:
        network: Traced; must not change while this object is in use.
    """

    def __init__(self, network: fx.GraphModule) -> None:
        self._modules = dict(network.named_modules())
        self._memory: dict[fx.Node, frozenset[fx.Node]] = {}
        self._place = {node: place for place, node in enumerate(network.graph.nodes)}
        self._writers: dict[fx.Node, set[fx.Node]] = defaultdict(set)
        for node in network.graph.nodes:
            sources = self._shared(node)
            self._memory[node] = frozenset().union(*(self._memory[source] for source in sources)) or frozenset([node])
            for target in written_nodes(node, self._modules):
                for owner in self._memory[target]:
                    self._writers[owner].add(node)

    def later(self, node: fx.Node) -> bool:
        """Whether an operation behind a node may alter the node's value."""
        return any(
            self._place[writer] > self._place[node] for owner in self._memory[node] for writer in self._writers[owner]
        )

    def _shared(self, node: fx.Node) -> list[fx.Node]:
        """The nodes whose memory may hold the value of `node`."""
        targets = written_nodes(node, self._modules)
        if node.op == "call_module":
            module = self._modules[str(node.target)]
            new = isinstance(module, NEW_MODULES) or getattr(module, "NEW_MEMORY", False)
            return [] if new else targets or node.all_input_nodes
        if node.op == "call_function" and not targets:
            arithmetic = node.target in ARITHMETIC and not any(map(_is_tuple, node.args))
            if arithmetic or node.target in NEW_FUNCTIONS:
                return []
        return targets or node.all_input_nodes


def remove_dead_code(network: fx.GraphModule) -> None:
    """Remove operations that nothing reads, except writes, which torch.fx alone would remove, too."""
    modules = dict(network.named_modules())
    network.graph.eliminate_dead_code(lambda node: node.is_impure() or bool(written_nodes(node, modules)))


def _first_argument(node: fx.Node) -> list[fx.Node]:
    """The nodes in an operation's first argument, given by position or by name."""
    return _nodes(node.args[0] if node.args else node.kwargs.get("input", tuple(node.kwargs.values())))


def _nodes(value: Any) -> list[fx.Node]:
    """All nodes in an argument, at any depth."""
    nodes: list[fx.Node] = []
    fx.node.map_arg(value, nodes.append)
    return nodes


def _underscored(name: str) -> bool:
    """Whether a name ends in one underscore, as torch's in-place operations do."""
    return name.endswith("_") and not name.endswith("__")


def _asked_in_place(node: fx.Node) -> bool:
    """Whether a function is called with a true `inplace`, by name or by position."""
    if "inplace" in node.kwargs:
        return bool(node.kwargs["inplace"])
    try:
        names = list(inspect.signature(node.target).parameters)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # a function written in C: these have no such argument
        return False
    position = names.index("inplace") if "inplace" in names else len(node.args)
    return position < len(node.args) and bool(node.args[position])


def _is_tuple(value: Any) -> bool:
    """Whether a value is a tuple of tensors, whose sum with another is a tuple of the same tensors."""
    if isinstance(value, tuple | list):
        return True
    if not isinstance(value, fx.Node):
        return False
    if value.target is operator.getitem and isinstance(value.args[1], slice):
        return _is_tuple(value.args[0])
    return (value.target if value.op == "call_method" else getattr(value.target, "__name__", "")) in TUPLES
