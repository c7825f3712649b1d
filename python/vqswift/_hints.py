"""What to write instead, at the end of messages about the commonest mistakes."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from typing import Any, NoReturn

_ON_CPU = "everything is float32 on the CPU, so leave it out; PyTorch's devices have vqswift.torch"
_HALVES = (
    "parameters are float32; float16 and bfloat16 are for storage: x.astype(vq.bfloat16), "
    "vq.save(path, state, dtype=vq.bfloat16)"
)
#: PyTorch's names that there are not, of tensors and of modules.
_OF_TENSORS = {
    **dict.fromkeys(("cuda", "cpu", "to"), _ON_CPU),
    **dict.fromkeys(("view", "view_as"), "write x.reshape(shape)"),
    **dict.fromkeys(("float", "type"), "write x.astype(np.float32)"),
    **dict.fromkeys(("long", "int"), "write x.astype(np.int32)"),
    "bool": "write x.astype(bool)",
    "half": "write x.astype(np.float16)",
    "bfloat16": "write x.astype(vq.bfloat16)",
    "contiguous": "elements always are, so leave it out",
    "expand": "write x.broadcast_to(shape)",
    "numel": "write x.size",
    "dim": "write x.ndim",
    "clone": "tensors are immutable, so take x itself",
    "__array_namespace__": (
        "the array API asks for float64, int64 and complex numbers, which there are not: give "
        "np.asarray(x), or x itself by DLPack"
    ),
    "data": "write x.detach(), and x.assign(value) to write a parameter",
}
_OF_MODULES = {
    **dict.fromkeys(("cuda", "cpu", "to"), _ON_CPU),
    **dict.fromkeys(("half", "bfloat16"), _HALVES),
    "double": _HALVES,
    "float": "parameters are float32 already",
}
#: PyTorch's parameters by what they are called here.
_PARAMETERS = {"dim": "axis", "keepdim": "keepdims", "dims": "axis"}
_TAPE = {
    "a gradient must be given": "; of a loss for each sample: loss.mean().backward()",
    "does not depend on any": (
        "; it must come from parameters or Tensor(x, requires_grad=True), outside of no_grad()"
    ),
    "pass retain_graph": "=True to that one, or compute the loss anew",
}


def for_value(value: object, required: str) -> str:
    """What to write in the place of an argument of the wrong kind; empty for nothing."""
    if type(value).__module__.partition(".")[0] == "torch":
        return for_torch(value)
    if isinstance(value, tuple) and type(value[-1:][0] if value else None).__name__ == (
        "QuantizerInfo"
    ):
        return "a quantizer gives a pair: z_q, info = quantizer(z)"
    if isinstance(value, str) and "number" in required:
        return _number(value)
    if "sequence of Tensors" in required and hasattr(value, "named_parameters"):
        return "write model.parameters()"
    return ""


def for_torch(value: Any) -> str:
    """How NumPy reads a tensor of PyTorch that it does not read as it is."""
    if str(getattr(value, "dtype", "")) == "torch.bfloat16":
        return "write .float(): NumPy has no bfloat16"
    if getattr(value, "requires_grad", False):
        return "write .detach(): no gradient passes from one library to the other"
    if str(getattr(value, "device", "cpu")) != "cpu":
        return "write .cpu(): arrays are read from there"
    return ""


def _number(text: str) -> str:
    try:
        return f"write {float(text)!r}"
    except ValueError:
        return ""


def for_channels(message: str, channels: object, value: object) -> str:
    """How channels of an image or a sequence that stand first come last, where that would fit."""
    shape: Sequence[int] = getattr(value, "shape", ())
    rank = len(shape)
    if "channels last" in message or rank < 3 or channels is None:
        return ""
    if shape[1] != channels or shape[-1] == channels:
        return ""
    order = ", ".join(map(str, (0, *range(2, rank), 1)))
    name = "permute" if hasattr(value, "permute") else "transpose"
    return f"; channels come last: write x.{name}({order})"


def for_option(name: str, known: Collection[str]) -> str | None:
    """What a parameter of PyTorch is called here."""
    own = _PARAMETERS.get(name)
    return own if own in known else None


@contextlib.contextmanager
def tape_hints() -> Iterator[None]:
    """Let the errors of a backward within say what to do about them."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        text = str(error)
        hint = next((hint for part, hint in _TAPE.items() if part in text), "")
        if not hint or not text.startswith("[backward]"):
            raise
        raise type(error)(text + hint) from None


def for_state(missing: Collection[str], unexpected: Collection[str]) -> str:
    """How a prefix that all names have comes off."""
    for prefix in ("module.", "_orig_mod."):
        if missing and {name.removeprefix(prefix) for name in unexpected} == set(missing):
            return f"; write {{n.removeprefix({prefix!r}): v for n, v in state.items()}}"
    return ""


def refuse_of_tensor(name: str) -> NoReturn:
    """AttributeError that says what there is in the place of PyTorch's `name`."""
    if name in _OF_TENSORS:
        raise AttributeError(f"[tensor] {name}: {_OF_TENSORS[name]}", name=name)
    raise AttributeError(f"'Tensor' object has no attribute {name!r}", name=name)


def refuse_of_module(operation: str, name: str) -> None:
    """As `refuse_of_tensor`, of a module; nothing for a name that PyTorch has not."""
    if name in _OF_MODULES:
        raise AttributeError(f"[{operation}] {name}: {_OF_MODULES[name]}", name=name)
