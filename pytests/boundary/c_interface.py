"""vqswift.h through ctypes: its structs, and arguments that a call takes."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from conftest import ROOT

sys.path.insert(0, str(ROOT / "python/src"))
from c_header import Function, Parameter, parsed  # noqa: E402

SCALARS = {
    "bool": ctypes.c_bool,
    "float": ctypes.c_float,
    "double": ctypes.c_double,
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "vq_option_type": ctypes.c_int32,
    "vq_comparison": ctypes.c_int32,
}
FUNCTIONS, _FIELDS = parsed()
STRUCTS: dict[str, type[ctypes.Structure]] = {
    name: type(
        name,
        (ctypes.Structure,),
        {"_fields_": [(f.name, SCALARS.get(f.type, ctypes.c_void_p)) for f in fields]},
    )
    for name, fields in _FIELDS.items()
}


def is_pointer(parameter: Parameter) -> bool:
    return "*" in parameter.type or parameter.type == "callback" or parameter.count > 0


class Caller:
    """Calls functions of the library with arguments made for each call."""

    def __init__(self, library: Path, folder: Path) -> None:
        self.library = ctypes.CDLL(str(library))
        self.functions = {function.name: function for function in FUNCTIONS}
        self.path = str(folder / "file.safetensors").encode()
        self.kept: list[object] = []

    def argument(self, function: Function, p: Parameter) -> object:
        """One that the function takes, or that it refuses for its value."""
        kind = p.type.rstrip("*")
        if not is_pointer(p):
            value = 1 if kind in ("int64_t", "uint64_t") else 0
            return SCALARS[kind](0.5 if kind in ("float", "double") else value)
        if kind == "callback":
            return ctypes.CFUNCTYPE(ctypes.c_bool)(0)
        if p.type == "char*":
            kinds = {"vq_optimizer_create": b"adam", "vq_estimator_create": b"ste"}
            kinds |= {"vq_schedule_factor": b"constant", "vq_weight_quantizer_create": b"ste"}
            texts = {"path": self.path, "kind": kinds.get(function.name, b"linear")}
            texts |= {"family": b"module", "init": b"random", "range": b"max"}
            return texts.get(p.name) or self.keep(ctypes.create_string_buffer(64))
        if p.type == "void*":
            raw = self.keep(ctypes.create_string_buffer(4096))
            return ctypes.c_void_p((ctypes.addressof(raw) + 63) // 64 * 64)
        if kind in STRUCTS and not p.type.endswith("**"):
            return ctypes.byref(self.struct(kind))
        if kind in SCALARS:
            return self.keep((SCALARS[kind] * 64)(*[1] * 64))
        if p.list and kind == "char":
            return self.keep((ctypes.c_char_p * 4)(b"a", b"b", b"c", b"d"))
        if p.list:
            made = [self.handle(kind, function.name) for _ in range(4)]
            return self.keep((ctypes.c_void_p * 4)(*made))
        if p.is_handle:
            return ctypes.c_void_p(self.handle(kind, function.name))
        return ctypes.byref(self.keep(ctypes.c_void_p()))

    def keep(self, value: object) -> object:
        self.kept.append(value)
        return value

    def struct(self, name: str) -> ctypes.Structure:
        struct = STRUCTS[name]()
        for field, kind in struct._fields_:  # type: ignore[misc]
            if kind is not ctypes.c_void_p:
                setattr(struct, field, 0.5 if kind in (ctypes.c_float, ctypes.c_double) else 1)
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
            zero = ctypes.c_int64(0)
            status = library.vq_optimizer_create(b"adam", None, zero, ctypes.byref(made))
        elif kind == "vq_estimator":
            bits, bound = ctypes.c_int64(2), ctypes.c_double(1)
            status = library.vq_estimator_create(
                b"ste", None, ctypes.c_int64(0), bits, bound, ctypes.byref(made)
            )
        elif kind in ("vq_list", "vq_named_tensors", "vq_named_modules", "vq_named_texts"):
            owner = ctypes.c_void_p(self.module("linear", in_features=3, out_features=2))
            call = {
                "vq_named_modules": library.vq_module_weighted_layers,
                "vq_named_texts": lambda _, out: library.vq_kinds(b"module", out),
            }.get(kind, library.vq_module_buffers)
            status = call(owner, ctypes.byref(made))
        elif "gaussian" in function:
            return self.module("sqvae_quant", feature_size=3, num_codes=4)
        elif "weight_quantizer" in function:
            zero, bits, one = ctypes.c_int64(0), ctypes.c_int64(2), ctypes.c_double(1)
            status = library.vq_weight_quantizer_create(
                *(b"ste", None, zero, bits, one, one),
                *(None, False, None, None, ctypes.byref(made)),
            )
        elif "quantizer" in function:
            return self.module("vector_quant", feature_size=3, num_codes=4)
        else:
            return self.module("linear", in_features=3, out_features=2)
        assert status == 0 and made.value, (kind, out(status))
        return made.value

    def module(self, kind: str, **sizes: int) -> int:
        """A new module of integer options."""
        options = (STRUCTS["vq_option"] * len(sizes))()
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
