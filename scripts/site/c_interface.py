"""The page of the C interface, from the comments and declarations of vqswift.h."""

from __future__ import annotations

import re

MARK = "// MARK: - "


def page(header: str) -> str:
    """The rules, then each part of the header: its declarations, and what is said of each."""
    introduction, *parts = header.split(MARK)
    rules = introduction.partition("#pragma once")
    lines = ["# C interface", "", *comment(rules[0].splitlines())]
    lines += ["", "Types, statuses and element types:", "", *code(rules[2])]
    for part in parts:
        heading, _, body = part.partition("\n")
        title, _, said = heading.partition(". ")
        lines += ["", f"## {title}", *(["", said] if said else []), *declarations(body)]
    return "\n".join(lines) + "\n"


def declarations(body: str) -> list[str]:
    """What is said of a declaration, before it; declarations without a blank line stay together."""
    lines: list[str] = []
    for block in re.split(r"\n\s*\n", body):
        # The guards of C++ end the header.
        kept = [line for line in block.splitlines() if not re.match(r"#|\}$|extern ", line)]
        for said, declared in pairs(kept):
            lines += ["", *comment(said)] if said else []
            lines += ["", "```c", *declared, "```"] if declared else []
    return lines


def pairs(lines: list[str]) -> list[tuple[list[str], list[str]]]:
    """Runs of comment lines, each with the code that follows."""
    found: list[tuple[list[str], list[str]]] = []
    for line in lines:
        is_comment = line.startswith("//")
        if not found or (is_comment and found[-1][1]):
            found.append(([], []))
        found[-1][0 if is_comment else 1].append(line)
    return found


def comment(lines: list[str]) -> list[str]:
    """The text of comment lines, as Markdown: lists get the blank line that they want."""
    text = [re.sub(r"^//[/!]? ?", "", line) for line in lines]
    spaced: list[str] = []
    for line in text:
        if (
            line.startswith("- ")
            and spaced
            and spaced[-1]
            and not spaced[-1].startswith(("- ", " "))
        ):
            spaced.append("")
        spaced.append(line)
    return spaced


def code(text: str) -> list[str]:
    return ["```c", *text.strip("\n").splitlines(), "```"]
