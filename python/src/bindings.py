"""Writes the calls of the extension in C, and their Python signatures, from vqswift.h."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from c_header import Function, Parameter, parsed

# Written by hand in `by_hand.c`.
BY_HAND = {
    "vq_tensor_create": "def tensor_create(array: np.ndarray, dtype: int, /) -> TensorHandle: ...",
    "vq_tensor_copy_out": "def tensor_copy_out(tensor: TensorHandle, array: np.ndarray, /)"
    " -> None: ...",
    "vq_tensor_shape": "def tensor_shape(tensor: TensorHandle, /) -> tuple[int, ...]: ...",
    "vq_points_create_borrowed": "def points(array: np.ndarray, /) -> TensorHandle: ...",
    "vq_tensor_create_borrowed": "def tensor_borrow(array: np.ndarray, /) -> TensorHandle: ...",
    "vq_tensor_refresh": "def tensor_refresh(tensor: TensorHandle, address: int, size: int, /)"
    " -> None: ...",
    "vq_tensor_data": "def tensor_dlpack("
    "tensor: TensorHandle, is_versioned: bool, is_copied: bool, /) -> object: ...",
    "vq_tensor_record": "def tensor_record(operation: str, value: TensorHandle,"
    " inputs: Sequence[TensorHandle], saved: Sequence[TensorHandle],"
    " pullback: Callable[[TensorHandle], Sequence[TensorHandle | None]], /) -> TensorHandle: ...",
    "vq_tensor_checkpoint": "def tensor_checkpoint(inputs: Sequence[TensorHandle],"
    " function: Callable[[list[TensorHandle]], TensorHandle], /) -> TensorHandle: ...",
    "vq_optimizer_create_hosted": "def optimizer_create_hosted(parameter: TensorHandle,"
    " step: Callable[[TensorHandle], object], /) -> OptimizerHandle: ...",
    "vq_tensor_backward_by_leaf": "def tensor_backward_by_leaf(tensor: TensorHandle,"
    " gradient: TensorHandle | None, retain_graph: bool, leaves: Sequence[TensorHandle],"
    " done: Callable[[int], object], /) -> None: ...",
    "vq_module_exchange_moments": "def module_exchange_moments(module: ModuleHandle,"
    " exchange: Callable[[bool, bytes], np.ndarray], /) -> int: ...",
    "vq_kind_options": "def kind_options(family: str, kind: str, /)"
    " -> list[tuple[str, str, bool, str, str, str]]: ...",
}
# What Python reaches another way, or never needs; what releases is called by the handles.
C_ONLY = re.compile(
    r"vq_(abi_version|last_error\w*|list_\w+|set_interrupt_check|shut_down|"
    r"tensor_rank|\w+_release)"
)
HANDLES = ("tensor", "generator", "module", "optimizer", "estimator")
SCALARS = {  # C type: how it is taken, Python type, how it is given
    "bool": ("boolean", "bool", "PyBool_FromLong"),
    "float": ("float", "float", "PyFloat_FromDouble"),
    "double": ("double", "float", "PyFloat_FromDouble"),
    "int32_t": ("int32", "int", "PyLong_FromLong"),
    "vq_comparison": ("int32", "int", ""),
    "int64_t": ("int64", "int", "PyLong_FromLongLong"),
    "uint64_t": ("word", "int", "PyLong_FromUnsignedLongLong"),
    "char*": ("text", "str", "give_text"),
}
NAMED = {"vq_named_tensors": "TensorHandle", "vq_named_modules": "ModuleHandle"}
NAMED |= {"vq_named_texts": "str"}
ELEMENTS = {"float*": "FLOAT32", "double*": "FLOAT64", "int32_t*": "INT32", "int64_t*": "INT64"}


def handle_class(kind: str) -> str:
    return f"{kind.removeprefix('vq_').rstrip('*').capitalize()}Handle"


def handle_kind(kind: str) -> str:
    return f"{kind.removeprefix('vq_').rstrip('*').upper()}_HANDLE"


def sizes_of(function: Function) -> set[str]:
    """The parameters that are numbers of items of others."""
    return {size for p in function.parameters for size in (p.list, *p.array) if size}


@dataclass
class Argument:
    """What Python gives for a parameter, or for two that go together.

    Attributes:
        take: the C expression that converts `args[i]`, false with an exception set.
    """

    name: str
    declaration: str
    take: str
    python: str
    release: str = ""


def argument(p: Parameter, before: Parameter | None, function: Function) -> Argument | None:
    """None for the number of items of another, the first of a pair, and what a call gives."""
    at = f'AT("{p.name}")'
    if p.name in sizes_of(function) or p.type == "char**" and p.name in ("names", "keys"):
        return None
    if p.array:
        count, flags = len(p.array), "0" if p.is_const else "PyBUF_WRITABLE"
        fits = " && ".join(f"fits({at}, &{p.name}, {i}, &{n})" for i, n in enumerate(p.array))
        take = f"take_array(args[i], {at}, {ELEMENTS[p.type]}, {count}, {flags}, &{p.name})"
        python = "np.ndarray"
        if p.is_nullable:
            take, python = f"(args[i] == Py_None || ({take} && {fits}))", python + " | None"
        else:
            take += f" && {fits}"
        release = f"if ({p.name}.obj) PyBuffer_Release(&{p.name});"
        return Argument(p.name, f"Py_buffer {p.name} = {{0}};", take, python, release)
    if p.list:
        if p.type == "vq_option*":
            take, python, kind = (
                f"read_options(kind, args[i], &{p.name})",
                "Mapping[str, object]",
                "option_list",
            )
        elif p.type == "int64_t*":
            null = "true" if p.is_nullable else "false"
            take = f"take_sizes(args[i], {at}, {null}, &{p.name})"
            python, kind = "Sequence[int]" + " | None" * p.is_nullable, "size_list"
        else:
            named = (
                "true" if before and before.type == "char**" and before.list == p.list else "false"
            )
            of = "TEXT" if p.type == "char**" else handle_kind(p.type)
            take = f"take_list(args[i], {at}, {of}, {named}, &{p.name})"
            item = "str" if of == "TEXT" else handle_class(p.type)
            python, kind = (
                f"Sequence[tuple[str, {item}]]" if named == "true" else f"Sequence[{item}]",
                "item_list",
            )
        take += f" && counts({at}, {p.name}.count, &{p.list})"
        clear = "" if kind == "size_list" else f"clear_{kind}(&{p.name});"
        return Argument(p.name, f"{kind} {p.name} = {{0}};", take, python, clear)
    if p.count == 2:
        return Argument(
            p.name,
            f"int64_t {p.name}[2];",
            f"take_pair(args[i], {at}, {p.name})",
            "tuple[int, int]",
        )
    if p.is_handle:
        kind, null = handle_kind(p.type), str(p.is_nullable).lower()
        take = f"take_handle(args[i], {at}, {kind}, {null}, &{p.name})"
        return Argument(
            p.name, f"void *{p.name};", take, handle_class(p.type) + " | None" * p.is_nullable
        )
    if p.type == "float*" and p.is_const:
        take = f"take_optional_float(args[i], {at}, &{p.name})"
        return Argument(p.name, f"optional_float {p.name};", take, "float | None")
    if p.name == "path":
        take = f"PyUnicode_FSConverter(args[i], &{p.name})"
        return Argument(
            p.name, f"PyObject *{p.name} = NULL;", take, "str | bytes", f"Py_XDECREF({p.name});"
        )
    if p.is_out:  # whether it is wanted, where it may be NULL
        name = f"with_{p.name}"
        take = f'take_boolean(args[i], AT("{name}"), &{name})'
        return Argument(name, f"bool {name};", take, "bool") if p.is_nullable else None
    how, python, _ = SCALARS[p.type]
    take, kind = f"take_{how}(args[i], {at}, &{p.name})", p.type.replace("vq_comparison", "int32_t")
    if p.is_nullable:
        take, python = f"(args[i] == Py_None || {take})", python + " | None"
    zero = "const char *{} = NULL;" if p.type == "char*" else kind + " {};"
    return Argument(p.name, zero.format(p.name), take, python)


def passed(p: Parameter) -> str:
    """The C argument for a parameter."""
    if p.array:
        return f"{p.name}.buf"
    if p.list and p.type in ("vq_option*", "int64_t*"):
        return f"{p.name}.items"
    if p.list and p.name in ("names", "keys"):
        return {"names": "tensors", "keys": "values"}[p.name] + ".names"
    if p.list:
        return f"(void *){p.name}.items"
    if p.type == "float*" and p.is_const:
        return f"{p.name}.pointer"
    if p.name == "path":
        return "PyBytes_AsString(path)"
    if p.is_out:
        return f"with_{p.name} ? &{p.name} : NULL" if p.is_nullable else f"&{p.name}"
    return p.name


def given(p: Parameter) -> tuple[str, str]:
    """The C expression and the Python type of a result."""
    kind = p.type.rstrip("*")
    if kind in NAMED:
        return f"give_list({p.name})", f"list[tuple[str, {NAMED[kind]}]]"
    if kind == "vq_quantized":
        return f"give_{kind}(&{p.name})", "Quantized"
    if kind.startswith("vq_"):
        what = f"give_handle({handle_kind(kind)}, {p.name})"
        if p.is_nullable or p.gives_null:
            return f"{p.name} ? {what} : Py_NewRef(Py_None)", handle_class(kind) + " | None"
        return what, handle_class(kind)
    _, python, give = SCALARS[kind]
    return f"{give}({p.name})", python


def call(function: Function) -> tuple[str, str]:
    """A function of the extension in C, and its signature."""
    name = function.name.removeprefix("vq_")
    pairs = zip(function.parameters, (None, *function.parameters), strict=False)
    listed = [a for p, before in pairs if (a := argument(p, before, function))]
    outs = [p for p in function.parameters if p.is_out and not p.array and not p.list]
    lines = [
        f"static PyObject *call_{name}(PyObject *self, PyObject *const *args, Py_ssize_t given) {{"
    ]
    lines += [f'  static const char operation[] = "{name}";', "  PyObject *result = NULL;"]
    lines += [f"  {a.declaration}" for a in listed] + [
        f"  int64_t {size} = -1;" for size in sorted(sizes_of(function))
    ]
    for p in outs:
        kind = p.type.removesuffix("*")
        zero = "{.struct_size = sizeof(vq_quantized)}" if kind == "vq_quantized" else "0"
        lines.append(f"  {kind} {p.name} = {zero};".replace("* ", " *"))
    checks = [f"takes(operation, given, {len(listed)})"]
    checks += [a.take.replace("args[i]", f"args[{i}]") for i, a in enumerate(listed)]
    lines.append(f"  if (!({' && '.join(checks)})) goto end;")
    values = ", ".join(passed(p) for p in function.parameters)
    results = [given(p) for p in outs]
    failure = (
        "raise_file_status(status, args[0])"
        if any(p.name == "path" for p in function.parameters)
        else "raise_status(status)"
    )
    if function.result == "vq_status":
        call_text = f"{function.name}({values})"
        lines.append("  vq_status status;")
        lines.append(
            f"  status = {call_text};"
            if function.is_quick
            else f"  WITHOUT_GIL(status, {call_text});"
        )
        if not results:
            value, python = "Py_NewRef(Py_None)", "None"
        elif len(results) == 1:
            value, python = results[0]
        else:
            value = f'Py_BuildValue("({"N" * len(results)})", {", ".join(c for c, _ in results)})'
            python = f"tuple[{', '.join(t for _, t in results)}]"
        lines.append(f"  result = status == VQ_OK ? ({value}) : {failure};")
    elif function.result == "void":
        lines += [f"  {function.name}({values});", "  result = Py_NewRef(Py_None);"]
        python = "None"
    else:
        kind = function.result.removeprefix("const ").removesuffix("VQ_NULLABLE")
        _, python, give = SCALARS[kind]
        python += " | None" * function.result.endswith("VQ_NULLABLE")
        lines.append(f"  result = {give}({function.name}({values}));")
    lines += (
        ["end:"] + [f"  {a.release}" for a in listed if a.release] + ["  return result;", "}", ""]
    )
    shown = "".join(f"{a.name}: {a.python}, " for a in listed) + ("/" if listed else "")
    return "\n".join(lines), f"def {name}({shown}) -> {python}: ..."


def structure(name: str, fields: list[Parameter]) -> tuple[str, str]:
    """What turns a struct of results into a tuple with names, and its class."""
    fields = [f for f in fields if f.name != "struct_size"]
    short = name.removeprefix("vq_").capitalize()
    rows = "".join(f'    {{"{f.name}", NULL}},\n' for f in fields)
    gives, hints = [], []
    for f in fields:
        if f.type == "vq_tensor*":
            gives.append(f"give_handle(TENSOR_HANDLE, out->{f.name})")
            hints.append(f"    {f.name}: TensorHandle")
        else:
            gives.append(f"{SCALARS[f.type][2]}(out->{f.name})")
            hints.append(f"    {f.name}: {SCALARS[f.type][1]}")
    c = f"""static PyStructSequence_Field {name}_fields[] = {{
{rows}    {{NULL, NULL}},
}};
static PyStructSequence_Desc {name}_description = {{
    "vqswift._core.{short}", NULL, {name}_fields, {len(fields)}}};
static PyTypeObject *{name}_type;

static PyObject *give_{name}(const {name} *out) {{
  PyObject *items[] = {{{", ".join(gives)}}};
  return give_fields({name}_type, items, {len(fields)});
}}
"""
    return c, "\n".join([f"class {short}(NamedTuple):", *hints])


STUB = '''"""The calls of vqswift.h, each by its name there without `vq_`.

Handles own native objects. Every call raises ValueError, TypeError, IndexError, OverflowError,
MemoryError, OSError or RuntimeError with the core's text.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, final

import numpy as np
'''


def generated() -> tuple[str, str]:
    """The text of the C file, and that of the stub."""
    functions, structs = parsed()
    c = ['#include "core.h"', "#define AT(parameter) ((place){operation, parameter})", ""]
    stub = [STUB]
    stub += [f"@final\nclass {handle_class(kind)}: ..." for kind in HANDLES]
    text, hints = structure("vq_quantized", structs["vq_quantized"])
    c.append(text)
    stub.append(hints)
    table = []
    for function in functions:
        if function.name in BY_HAND:
            stub.append(BY_HAND[function.name])
        elif not C_ONLY.fullmatch(function.name):
            text, hints = call(function)
            c.append(text)
            stub.append(hints)
            name = function.name.removeprefix("vq_")
            table.append(
                f'  {{"{name}", (PyCFunction)(void (*)(void))call_{name}, METH_FASTCALL, NULL}},'
            )
    c += ["PyMethodDef generated_methods[] = {", *table, "  {NULL, NULL, 0, NULL},", "};", ""]
    c += ["int add_generated_types(PyObject *module) {"]
    c += ["  vq_quantized_type = PyStructSequence_NewType(&vq_quantized_description);"]
    c += [
        "  if (!vq_quantized_type) return -1;",
        '  return PyModule_AddObjectRef(module, "Quantized", (PyObject *)vq_quantized_type);',
        "}",
        "",
    ]
    return "\n".join(c), "\n".join(stub) + "\n"


def write(c_file: Path, stub: Path) -> None:
    """Writes both files where they differ from what they are."""
    for path, text in zip((c_file, stub), generated(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
