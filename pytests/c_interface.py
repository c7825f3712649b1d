"""vqswift.h as data: its functions, parameters and structs, and arguments that a call takes."""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass
from pathlib import Path

SCALARS = {
    "bool": ctypes.c_bool,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
    "int32_t": ctypes.c_int32,
    "uint32_t": ctypes.c_uint32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "vq_status": ctypes.c_int32,
    "vq_option_type": ctypes.c_int32,
    "vq_comparison": ctypes.c_int32,
}

# Pointers to pointers that a call writes; the others are lists.
RESULTS = {"out", "name", "key", "value", "centroids", "codes", "distances"}


@dataclass(frozen=True)
class Parameter:
    name: str
    type: str  # without const, e.g. "vq_tensor **"

    @property
    def is_pointer(self) -> bool:
        return "*" in self.type


@dataclass(frozen=True)
class Function:
    name: str
    result: str
    parameters: tuple[Parameter, ...]


def parsed(header: Path) -> tuple[list[Function], dict[str, type[ctypes.Structure]]]:
    text = re.sub(r"//.*", "", header.read_text())
    text = re.sub(r"^#.*", "", text, flags=re.M)
    structs: dict[str, type[ctypes.Structure]] = {}
    for body, name in re.findall(r"typedef struct \{(.*?)\} (\w+);", text, re.S):
        fields = []
        for declaration in filter(None, (part.strip() for part in body.split(";"))):
            match = re.fullmatch(r"(.*?)(\w+)(?:\[(\d+)\])?", declaration, re.S)
            assert match, declaration
            kind, field, count = match.groups()
            base = ctypes.c_void_p if "*" in kind else SCALARS[kind.replace("const", "").strip()]
            fields.append((field, base * int(count) if count else base))
        structs[name] = type(name, (ctypes.Structure,), {"_fields_": fields})
    functions = []
    pattern = r"^(?:VQ_CHECKED )?([\w ]+?[ *]+)(vq_\w+)\((.*?)\);"
    for result, name, rest in re.findall(pattern, text, re.M | re.S):
        functions.append(Function(name, normal(result), tuple(map(parameter, split(rest)))))
    return functions, structs


def split(parameters: str) -> list[str]:
    """The parameters between the commas that no parentheses enclose."""
    parts, depth = [""], 0
    for letter in parameters:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip() not in ("", "void")]


def parameter(declaration: str) -> Parameter:
    callback = re.fullmatch(r".*\(\*(\w+)\)\(.*\)", declaration, re.S)
    if callback:
        return Parameter(callback[1], "callback *")
    match = re.fullmatch(r"(.*?)(\w+)(\[\d+\])?", declaration, re.S)
    assert match, declaration
    return Parameter(match[2], normal(match[1] + ("*" if match[3] else "")))


def normal(kind: str) -> str:
    words = kind.replace("const", " ").replace("*", " * ").split()
    stars = words.count("*")
    return " ".join(word for word in words if word != "*") + (" " + "*" * stars if stars else "")


class Caller:
    """Calls functions of the library with arguments made for each call."""

    def __init__(self, library: Path, header: Path, folder: Path) -> None:
        self.library = ctypes.CDLL(str(library))
        functions, self.structs = parsed(header)
        self.functions = {function.name: function for function in functions}
        self.path = str(folder / "file.safetensors").encode()
        self.kept: list[object] = []

    def argument(self, function: Function, parameter: Parameter) -> object:
        """One that the function takes, or that it refuses for its value."""
        kind, name = parameter.type, parameter.name
        if not parameter.is_pointer:
            value = 1 if kind in ("int64_t", "uint64_t") else 0
            return SCALARS[kind](0.5 if kind in ("float", "double") else value)
        if kind == "callback *":
            return ctypes.CFUNCTYPE(ctypes.c_bool)(0)
        if kind == "char *":
            texts = {"path": self.path, "kind": b"linear"}
            return texts.get(name) or self.keep(ctypes.create_string_buffer(64))
        if kind == "void *":
            raw = self.keep(ctypes.create_string_buffer(4096))
            return ctypes.c_void_p((ctypes.addressof(raw) + 63) // 64 * 64)
        base, stars = kind.split(" ")
        if base in self.structs:
            return ctypes.byref(self.struct(base))
        if stars == "*" and base in SCALARS:
            return self.keep((SCALARS[base] * 64)(*[1] * 64))
        if stars == "*":
            return ctypes.c_void_p(self.handle(base, function.name))
        if name in RESULTS:
            return ctypes.byref(self.keep(ctypes.c_void_p()))
        if base == "char":
            return self.keep((ctypes.c_char_p * 4)(b"a", b"b", b"c", b"d"))
        return self.keep(
            (ctypes.c_void_p * 4)(*[self.handle(base, function.name) for _ in range(4)])
        )

    def keep(self, value: object) -> object:
        self.kept.append(value)
        return value

    def struct(self, name: str) -> ctypes.Structure:
        struct = self.structs[name]()
        for field, kind in struct._fields_:  # type: ignore[misc]
            if kind is ctypes.c_void_p:
                continue
            if not hasattr(kind, "_length_"):
                setattr(struct, field, 0.5 if kind in (ctypes.c_float, ctypes.c_double) else 1)
            else:
                getattr(struct, field)[:] = [1] * kind._length_
        if name == "vq_parameter_group":
            leaf = ctypes.c_void_p()
            tensor = ctypes.c_void_p(self.handle("vq_tensor", ""))
            self.library.vq_tensor_requiring_grad(tensor, 0, ctypes.byref(leaf))
            struct.parameters = ctypes.addressof(self.keep((ctypes.c_void_p * 1)(leaf)))
        if hasattr(struct, "struct_size"):
            struct.struct_size = ctypes.sizeof(struct)
        return self.keep(struct)  # type: ignore[return-value]

    def handle(self, kind: str, function: str) -> int:
        """A new handle of the kind that the function works on."""
        made, out = ctypes.c_void_p(), ctypes.c_int32
        library = self.library
        if kind == "vq_tensor":
            data, shape = (ctypes.c_float * 6)(*range(6)), (ctypes.c_int64 * 2)(2, 3)
            status = library.vq_tensor_create(0, shape, ctypes.c_int64(2), data, ctypes.byref(made))
        elif kind == "vq_generator":
            status = library.vq_generator_create(
                ctypes.c_uint64(1), ctypes.c_uint64(0), ctypes.byref(made)
            )
        elif kind == "vq_optimizer":
            status = library.vq_optimizer_create(
                ctypes.byref(self.struct("vq_optimizer_options")),
                ctypes.byref(self.struct("vq_parameter_group")),
                *(ctypes.c_int64(1), ctypes.byref(made)),
            )
        elif kind == "vq_archive":
            tensor = (ctypes.c_void_p * 1)(self.handle("vq_tensor", ""))
            word = (ctypes.c_char_p * 1)(b"a")
            one = ctypes.c_int64(1)
            library.vq_archive_save(self.path, word, tensor, one, word, word, one)
            status = library.vq_archive_load(self.path, ctypes.byref(made))
        elif "gaussian" in function:
            return self.module("gaussian_quant", feature_size=3, num_codes=4)
        elif "weight_quantizer" in function:
            options = ctypes.byref(self.struct("vq_estimator_options"))
            status = library.vq_weight_quantizer_create(
                options, ctypes.c_double(1), ctypes.byref(made)
            )
        elif "quantizer" in function:
            return self.module("vector_quant", feature_size=3, num_codes=4)
        else:
            return self.module("linear", in_features=3, out_features=2)
        assert status == 0 and made.value, (kind, out(status))
        return made.value

    def module(self, kind: str, **sizes: int) -> int:
        """A new module of integer options."""
        options = (self.structs["vq_option"] * len(sizes))()
        for option, (name, size) in zip(options, sizes.items(), strict=True):
            text = self.keep(ctypes.create_string_buffer(name.encode()))
            option.name, option.integer = ctypes.addressof(text), size  # type: ignore[arg-type]
        made = ctypes.c_void_p()
        status = self.library.vq_module_create(
            kind.encode(),
            options,
            ctypes.c_int64(len(sizes)),
            *(None, ctypes.c_int64(0)),
            ctypes.c_void_p(self.handle("vq_generator", "")),
            ctypes.byref(made),
        )
        assert status == 0 and made.value, (kind, status)
        return made.value

    def call(self, name: str, replaced: dict[str, object]) -> int:
        """Calls with some arguments replaced by name; the status, 0 where there is none."""
        function = self.functions[name]
        arguments = [
            replaced[p.name] if p.name in replaced else self.argument(function, p)
            for p in function.parameters
        ]
        if function.result != "vq_status":
            getattr(self.library, name).restype = ctypes.c_void_p
        status = getattr(self.library, name)(*arguments)
        self.kept.clear()
        return status if function.result == "vq_status" else 0
