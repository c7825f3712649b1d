"""Writes the cases of a libFuzzer target from vqswift.h: one a function, arguments from the input.

generate.py HEADER CALLS COUNT
"""

import re
import sys
from dataclasses import dataclass
from pathlib import Path

# What `fuzz.c` writes by hand, or what a fuzzer cannot call.
BY_HAND = {
    "vq_tensor_create",
    "vq_tensor_create_borrowed",
    "vq_tensor_copy_out",
    "vq_tensor_shape",
    "vq_archive_load",
    "vq_estimator_obstacle",
    "vq_module_create",
    "vq_module_kinds",
    "vq_module_options",
    "vq_set_threads",
}
LEFT_OUT = {
    "vq_shut_down": "holds every later call of other threads",
}

HANDLES = ("tensor", "generator", "module", "optimizer", "archive")
HANDLE = "|".join(f"vq_{name}" for name in HANDLES)
NUMBERS = {
    "bool": "take_byte(in) & 1",
    "float": "take_float(in)",
    "double": "take_float(in)",
    "int32_t": "(int32_t)take_small(in)",
    "uint64_t": "(uint64_t)take_int(in)",
    "int64_t": "take_int(in)",
    "size_t": "(size_t)take_int(in)",
}


@dataclass
class Parameter:
    type: str  # spaces single, none around *
    name: str
    length: int | None  # of an array


@dataclass
class Function:
    result: str
    name: str
    parameters: list[Parameter]


def parameter(text: str) -> Parameter:
    array = re.search(r"\[(\d*)\]$", text)
    text = re.sub(r"\[\d*\]$", "", text).strip()
    type_text, name = re.fullmatch(r"(.*?)(\w+)", text).groups()
    type_text = re.sub(r"\s+", " ", type_text).replace(" *", "*").replace("* ", "*").strip()
    return Parameter(type_text, name, int(array[1]) if array and array[1] else None)


def functions(header: str) -> list[Function]:
    found = []
    pattern = r"(?:VQ_CHECKED\s+)?([\w ]+?[\s*]+)(vq_\w+)\(([^;{}()]*)\);"
    for result, name, inner in re.findall(pattern, header):
        listed = [] if inner.strip() in ("", "void") else inner.split(",")
        parameters = [parameter(part.strip()) for part in listed]
        result = re.sub(r"\s+", " ", result).replace(" *", "*").strip()
        found.append(Function(result, name, parameters))
    return found


def structures(header: str) -> dict[str, list[Parameter]]:
    found = {}
    for body, name in re.findall(r"typedef struct \{([^}]*)\} (\w+);", header):
        fields = [parameter(line.strip()) for line in body.split(";") if line.strip()]
        found[name] = fields
    return found


class Unsupported(Exception):
    pass


def fill(name: str, fields: list[Parameter], target: str) -> list[str]:
    """Statements that fill a struct of options."""
    lines = [f"memset(&{target}, 0, sizeof {target});"]
    counted = {"samples": ("sample_count", "numbers(in, &{0})")}
    counted["parameters"] = ("count", "handles(in, TENSOR, &{0})")
    for field in fields:
        place = f"{target}.{field.name}"
        if field.name == "struct_size":
            lines.append(f"{place} = take_byte(in) ? sizeof {target} : (size_t)take_int(in);")
        elif field.name in counted:
            length, call = counted[field.name]
            lines.append(f"{place} = (void *)" + call.format(f"{target}.{length}") + ";")
        elif any(field.name == length for length, _ in counted.values()):
            continue
        elif field.type in NUMBERS and field.length:
            for index in range(field.length):
                lines.append(f"{place}[{index}] = {NUMBERS[field.type]};")
        elif field.type in NUMBERS:
            lines.append(f"{place} = {NUMBERS[field.type]};")
        else:
            raise Unsupported(f"{name}.{field.name}: {field.type}")
    return lines


def call(function: Function, structs: dict[str, list[Parameter]]) -> list[str]:
    before, arguments, after = [], [], []
    parameters = list(function.parameters)
    index = 0
    while index < len(parameters):
        p = parameters[index]
        following = parameters[index + 1] if index + 1 < len(parameters) else None
        counted = following is not None and re.search(
            r"count|rank|num_codes|capacity", following.name
        )
        v = f"a{index}"
        if match := re.fullmatch(rf"(?:const )?({HANDLE})\*", p.type):
            arguments.append(f"pick(in, {match[1][3:].upper()})")
        elif match := re.fullmatch(rf"({HANDLE})\*\*", p.type):
            before.append(f"{match[1]} *{v} = NULL;")
            arguments.append(f"optional(in, &{v})")
            after.append(f"keep({match[1][3:].upper()}, {v});")
        elif match := re.fullmatch(rf"const ({HANDLE})\*const\*", p.type):
            before.append(f"int64_t n{index};")
            before.append(f"void *{v} = handles(in, {match[1][3:].upper()}, &n{index});")
            shared = "names" in [q.name for q in parameters[:index]]
            if shared:  # one length for names and tensors
                before.append(f"if ({v} && length < n{index}) n{index} = length;")
                before.append(f"length = {v} ? n{index} : length;")
            arguments.append(v)
            if not counted:  # two lists share the length behind the second
                before.append(f"int64_t shared = n{index};")
                continue_with = parameters[index + 1]
                before.append(f"void *b{index} = handles(in, TENSOR, &n{index});")
                before.append(f"if (b{index} && n{index} < shared) shared = n{index};")
                arguments += [f"b{index}", "shared"]
                assert continue_with.type == p.type, function
                index += 2
            else:
                arguments.append(f"n{index}" if not shared else "length")
                index += 1
        elif p.type == "const char*const*":
            other = "values" if p.name == "keys" else None
            before.append(f"int64_t {'length' if not other else 'pairs'} = take_byte(in) % 5;")
            before.append(f"void *{v} = strings(in);")
            arguments.append(v)
            if other:
                before.append("void *values = strings(in);")
                arguments += ["values", "pairs"]
                index += 2
        elif (
            re.fullmatch(r"const int64_t\*", p.type)
            and p.length == 2
            or re.fullmatch(r"const int64_t", p.type)
            and p.length == 2
        ):
            before.append(f"int64_t {v}[2] = {{take_int(in), take_int(in)}};")
            arguments.append(f"optional(in, {v})")
        elif p.type == "const int64_t*" and counted:
            before.append(f"int64_t n{index};")
            before.append(f"const int64_t *{v} = integers(in, &n{index});")
            arguments += [v, f"n{index}"]
            index += 1
        elif p.type == "int64_t*" and counted:
            before.append(f"int64_t n{index};")
            before.append(f"int64_t *{v} = integers(in, &n{index});")
            arguments += [v, f"n{index}"]
            index += 1
        elif p.type == "const double*" and counted:
            before.append(f"int64_t n{index};")
            before.append(f"const double *{v} = numbers(in, &n{index});")
            arguments += [v, f"n{index}"]
            index += 1
        elif p.type == "const float*":
            before.append(f"float {v} = take_float(in);")
            arguments.append(f"optional(in, &{v})")
        elif p.type in ("double*", "float*", "int64_t*", "int32_t*", "uint64_t*", "bool*"):
            # Where it is a list it has the length of another, which `numbers` and `handles` bound.
            before.append(f"{p.type[:-1]} {v}[ROOM] = {{0}};")
            arguments.append(f"optional(in, {v})")
        elif p.type == "const char**":
            before.append(f"const char *{v} = NULL;")
            arguments.append(f"optional(in, &{v})")
            after.append(f"if ({v}) sink += (int)strlen({v});")
        elif p.type == "const char*":
            arguments.append("path" if p.name == "path" else "string(in)")
        elif (match := re.fullmatch(r"const (\w+)\*", p.type)) and match[1] in structs:
            if following is not None and following.name.endswith("count"):
                before.append(f"{match[1]} {v}[2];")
                before += fill(match[1], structs[match[1]], f"{v}[0]")
                before += fill(match[1], structs[match[1]], f"{v}[1]")
                before.append(f"int64_t n{index} = take_byte(in) % 3;")
                before.append(f"const {match[1]} *p{index} = optional(in, {v});")
                before.append(f"if (!p{index}) n{index} = take_int(in);")
                arguments += [f"p{index}", f"n{index}"]
                index += 1
            else:
                before.append(f"{match[1]} {v};")
                before += fill(match[1], structs[match[1]], v)
                arguments.append(f"optional(in, &{v})")
        elif (match := re.fullmatch(r"(\w+)\*", p.type)) and match[1] in structs:
            before.append(f"{match[1]} {v};")
            before.append(f"memset(&{v}, 0, sizeof {v});")
            before.append(f"{v}.struct_size = take_byte(in) ? sizeof {v} : (size_t)take_int(in);")
            arguments.append(f"optional(in, &{v})")
            for field in structs[match[1]]:
                if handle := re.fullmatch(rf"({HANDLE})\*", field.type):
                    after.append(f"keep({handle[1][3:].upper()}, {v}.{field.name});")
        elif p.type in NUMBERS:
            arguments.append(NUMBERS[p.type])
        elif re.fullmatch(r"vq_\w+", p.type):
            arguments.append(f"({p.type})take_small(in)")
        else:
            raise Unsupported(f"{p.name}: {p.type}")
        index += 1
    # The compiler chooses the order of evaluation; an input must mean one call.
    named = []
    for number, argument in enumerate(arguments):
        if "(in" in argument:
            named.append(f"__auto_type v{number} = {argument};")
            arguments[number] = f"v{number}"
    made = f"{function.name}({', '.join(arguments)});"
    match = re.fullmatch(rf"(?:const )?({HANDLE}|void|char)\*?", function.result)
    if function.result == "void":
        line = made
    elif function.result == "const char*":
        line = f"sink += (int)strlen({made[:-1]});"
    elif match:
        raise Unsupported(function.result)
    else:
        line = f"sink += (int)({made[:-1]});"
    return [*before, *named, line, *after]


def release(function: Function) -> list[str] | None:
    """Who releases takes the handle out of its pool."""
    match = re.fullmatch(r"vq_(\w+)_release", function.name)
    return [f"drop(in, {match[1].upper()});"] if match else None


def main() -> None:
    text = re.sub(r"//.*", "", Path(sys.argv[1]).read_text())
    text = re.sub(r"^#.*$", "", text, flags=re.MULTILINE)
    structs = structures(text)
    calls = []
    for function in functions(text):
        if function.name in BY_HAND or function.name in LEFT_OUT:
            continue
        try:
            lines = release(function) or call(function, structs)
        except Unsupported as reason:
            print(f"left out {function.name}: {reason}", file=sys.stderr)
            continue
        body = "\n".join(f"  {line}" for line in lines)
        calls.append(f"case {len(calls)}: {{  // {function.name}\n{body}\n  break;\n}}\n")
    Path(sys.argv[2]).write_text("".join(calls))
    Path(sys.argv[3]).write_text(f"enum {{ GENERATED = {len(calls)} }};\n")


if __name__ == "__main__":
    main()
