"""Writes the cases of a libFuzzer target from vqswift.h: one a function, arguments from the input.

generate.py HEADER CALLS COUNT
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python/src"))
from c_header import Function, Parameter, parsed  # noqa: E402

# What `fuzz.c` writes by hand, or what a fuzzer cannot call.
BY_HAND = {
    "vq_tensor_create",
    "vq_tensor_create_borrowed",
    "vq_points_create_borrowed",
    "vq_tensor_record",
    "vq_tensor_checkpoint",
    "vq_tensor_backward_by_leaf",
    "vq_module_exchange_moments",
    "vq_tensor_copy_out",
    "vq_tensor_refresh",
    "vq_tensor_data",
    "vq_tensor_shape",
    "vq_archive_load",
    "vq_module_create",
    "vq_optimizer_create",
    "vq_optimizer_create_hosted",
    "vq_estimator_create",
    "vq_weight_quantizer_create",
    "vq_schedule_factor",
    "vq_kind_options",
    "vq_set_threads",
    "vq_set_interrupt_check",
}
LEFT_OUT = {
    "vq_shut_down": "holds every later call of other threads",
}
NUMBERS = {
    "bool": "take_byte(in) & 1",
    "float": "take_float(in)",
    "double": "take_float(in)",
    "int32_t": "(int32_t)take_small(in)",
    "vq_comparison": "(vq_comparison)take_small(in)",
    "uint64_t": "(uint64_t)take_int(in)",
    "int64_t": "take_int(in)",
}
ELEMENTS = {"double": "float", "int32_t": "small", "int64_t": "int"}


def pool(kind: str) -> str:
    """The handles among which one of this type is picked or kept."""
    name = kind.rstrip("*").removeprefix("vq_")
    return "LIST" if name.startswith("named_") else name.upper()


def elements(p: Parameter, sizes: str) -> str:
    """Memory of exactly so many elements, filled from the input."""
    kind = p.type.rstrip("*")
    if kind == "char":
        return f"fill_texts(in, {sizes})"
    if kind.startswith("vq_"):
        return f"fill_handles(in, {pool(kind)}, {sizes})"
    return f"fill_{kind}(in, {sizes})"


def call(function: Function, structs: dict[str, list[Parameter]]) -> list[str]:
    """The statements of a case; one a line, since the compiler chooses the order in a call."""
    lines, arguments, after = [], [], []
    lengths = {size for p in function.parameters for size in (p.list, *p.array) if size}
    for size in sorted(lengths):
        lines.append(f"length {size} = take_length(in);")
    for p in function.parameters:
        kind, v = p.type.rstrip("*"), f"{p.name}_"
        if p.name in lengths:
            arguments.append(f"{p.name}.count")
            continue
        if p.list or p.array:
            sizes = [p.list] if p.list else list(p.array)
            bare = " || ".join(f"{size}.is_bare" for size in sizes)
            count = " * ".join(f"{size}.count" for size in sizes)
            lines.append(f"void *{v} = {bare} ? NULL : optional(in, {elements(p, count)});")
        elif p.count:
            lines.append(f"int64_t pair_{v}[2] = {{take_int(in), take_int(in)}};")
            lines.append(f"void *{v} = optional(in, pair_{v});")
        elif p.is_handle:
            lines.append(f"void *{v} = pick(in, {pool(kind)});")
        elif kind in structs:
            lines.append(f"{kind} held_{v};")
            lines.append(f"memset(&held_{v}, 0, sizeof held_{v});")
            size = f"take_byte(in) ? sizeof held_{v} : (size_t)take_int(in)"
            lines += [f"held_{v}.struct_size = {size};", f"void *{v} = optional(in, &held_{v});"]
            for field in structs[kind]:
                if field.is_handle:
                    after.append(f"keep({pool(field.type)}, held_{v}.{field.name});")
        elif p.type == "char*":
            text = "path" if p.name == "path" else "string(in)"
            lines.append(f"const char *{v} = {text};")
        elif p.is_out and p.type.endswith("**"):
            lines += [f"{kind} *held_{v} = NULL;", f"void *{v} = optional(in, &held_{v});"]
            after.append(f"keep({pool(kind)}, held_{v});")
        elif p.type.endswith("*"):
            zero = "0" if p.is_out else NUMBERS[kind]
            lines += [f"{kind} held_{v} = {zero};", f"void *{v} = optional(in, &held_{v});"]
        else:
            lines.append(f"{p.type} {v} = {NUMBERS[p.type]};")
        arguments.append(v)
    made = f"{function.name}({', '.join(arguments)})"
    if "char*" in function.result:
        lines += [f"const char *text = {made};", "if (text) sink += (int)strlen(text);"]
    else:
        lines.append(f"{made};" if function.result == "void" else f"sink += (int)({made});")
    return lines + after


def release(function: Function) -> list[str] | None:
    """Who releases takes the handle out of its pool."""
    match = re.fullmatch(r"vq_(\w+)_release", function.name)
    return [f"drop(in, {match[1].upper()});"] if match else None


def main() -> None:
    functions, structs = parsed(Path(sys.argv[1]))
    calls = []
    for function in functions:
        if function.name in BY_HAND or function.name in LEFT_OUT:
            continue
        lines = release(function) or call(function, structs)
        body = "\n".join(f"  {line}" for line in lines)
        calls.append(f"case {len(calls)}: {{  // {function.name}\n{body}\n  break;\n}}\n")
    Path(sys.argv[2]).write_text("".join(calls))
    Path(sys.argv[3]).write_text(f"enum {{ GENERATED = {len(calls)} }};\n")


if __name__ == "__main__":
    main()
