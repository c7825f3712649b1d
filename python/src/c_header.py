"""vqswift.h as data: its functions with what their annotations say, and its structs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

HEADER = Path(__file__).resolve().parents[2] / "Sources/CVQSwift/include/vqswift.h"


@dataclass(frozen=True)
class Parameter:
    """A parameter of a function or a field of a struct.

    Attributes:
        type: without `const`, stars at the end: "vq_tensor**".
        is_const: whether what it points to is only read.
        is_nullable: whether NULL may stand for it; `gives_null`: for what it gives.
        list: the parameter that has the number of its items.
        array: the parameters that have its sizes.
        count: of elements in brackets.
    """

    name: str
    type: str
    is_const: bool = False
    is_nullable: bool = False
    gives_null: bool = False
    list: str | None = None
    array: tuple[str, ...] = ()
    count: int = 0

    @property
    def is_out(self) -> bool:
        """Whether a call writes it; of arrays, whether the caller's memory is written."""
        return self.type.endswith("*") and not self.is_const and not self.is_handle

    @property
    def is_handle(self) -> bool:
        return re.fullmatch(r"vq_(?!quantized)\w+\*", self.type) is not None


@dataclass(frozen=True)
class Function:
    """`is_quick`: whether it returns within microseconds, whatever the sizes."""

    name: str
    result: str
    parameters: tuple[Parameter, ...]
    is_quick: bool


def _parameter(text: str) -> Parameter:
    if callback := re.fullmatch(r"\s*\w+ \(\*(\w+)\)\(.*\)", text, re.S):
        return Parameter(callback[1], "callback")
    items = re.search(r"VQ_LIST\((\w+)\)", text)
    sizes = re.search(r"VQ_ARRAY\(([\w, ]+)\)", text)
    text = re.sub(r"VQ_(?:LIST|ARRAY)\([\w, ]+\)", "", text).strip()
    declaration = re.fullmatch(r"(.*?)(\w+)(?:\[(\d+)\])?", text, re.S)
    assert declaration, text
    kind, name, count = declaration.groups()
    is_nullable = re.search(r"\*\s*VQ_NULLABLE\s*$", kind) is not None
    gives_null = re.search(r"\*\s*VQ_NULLABLE\s*\*\s*$", kind) is not None
    bare = re.sub(r"\b(?:const|VQ_NULLABLE)\b|\s", "", kind)
    return Parameter(
        name,
        bare,
        is_const=kind.strip().startswith("const"),
        is_nullable=is_nullable,
        gives_null=gives_null,
        list=items[1] if items else None,
        array=tuple(re.split(r",\s*", sizes[1])) if sizes else (),
        count=int(count or 0),
    )


def parsed(header: Path = HEADER) -> tuple[list[Function], dict[str, list[Parameter]]]:
    """The functions in their order, and the fields of the structs by name."""
    text = re.sub(r"//.*", "", header.read_text())
    text = re.sub(r"^#.*", "", text, flags=re.M)
    functions = []
    pattern = r"^(VQ_CHECKED |VQ_QUICK )?([\w ]+?[ *]+(?:VQ_NULLABLE )?)(vq_\w+)\((.*?)\);"
    for mark, result, name, inner in re.findall(pattern, text, re.M | re.S):
        listed = [] if inner == "void" else re.split(r",(?![^()]*\))", inner)
        result = re.sub(r"\s*\*\s*", "*", result.strip())
        quick = mark != "VQ_CHECKED "
        functions.append(Function(name, result, tuple(map(_parameter, listed)), quick))
    structs = {}
    for body, name in re.findall(r"typedef struct \{(.*?)\} (\w+);", text, re.S):
        structs[name] = [_parameter(field) for field in body.split(";") if field.strip()]
    return functions, structs
