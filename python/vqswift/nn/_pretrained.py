"""Networks in folders: their weights, and what they were made of."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from .._arguments import checked, refuse
from .._atomic import write_whole
from .._checkpoint import load, save
from .._random import undrawn
from .._warning import warn

if TYPE_CHECKING:
    from pathlib import Path

    from ._module import Module

WEIGHTS, CONFIG = "model.safetensors", "config.json"
_LONGEST = 1 << 24  # bytes of a configuration


@checked
class Pretrained:
    """Saving and loading of whole networks."""

    def save_pretrained(self, directory: str | os.PathLike[str]) -> None:
        """Write `model.safetensors`, the state, and `config.json`, what the module was made of.

        That is the class's name and its constructor's arguments, modules among them alike, as
        plain JSON: networks of `vq.models`, quantizers, layers of the core and `Sequential` know
        them. Another module says them by an attribute or a property `config`, a mapping from names
        to None, booleans, numbers, texts, modules, and sequences and mappings of these; a property
        where there are modules. The state has no moments of optimizers, and no positions of
        dropout's generators: `vq.train.save_trainer` keeps those.

        The directory is made where it is missing. The weights have a copy of the configuration
        within, and take the place of earlier ones at once: a save that is interrupted, or fails,
        leaves a directory that loads as before or as after.

        ValueError for a module whose arguments are not known or no JSON, that differs from what its
        arguments make, or has NaN or infinity in its state; nothing is written then. OSError for a
        directory that cannot be written.
        """
        from pathlib import Path

        from ._construction import configuration

        module: Module = self  # type: ignore[assignment]
        text, state = configuration(module), module.state_dict()
        try:
            module._checked_state(state)
        except ValueError as error:
            raise ValueError(f"[save_pretrained] {type(module).__name__}: {error}") from None
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        save(folder / WEIGHTS, state, {"config": text})
        write_whole(folder / CONFIG, text.encode())

    @classmethod
    def from_pretrained(
        cls, directory: str | os.PathLike[str], *, classes: Sequence[type[Module]] = ()
    ) -> Self:
        """The module that `save_pretrained` wrote into `directory`, in evaluation.

        `vq.nn.Module.from_pretrained` takes whatever class of the package is there, another class
        only its own. Classes that are not the package's are this one, and those of `classes`.
        Nothing is run or imported that the directory names. Sequences among the arguments come as
        tuples. The arguments in `model.safetensors` count, with a warning where `config.json` has
        others, as an interrupted save leaves it; without any there, those of `config.json`.

        OSError for files that cannot be read, ValueError for damaged ones, a class or an argument
        that there is not, a class that is not this one, or a state that does not fit.
        """
        from pathlib import Path

        from ._construction import constructed

        known = [cls, *classes]
        for kind in known:
            if not (isinstance(kind, type) and issubclass(kind, Pretrained)):
                refuse("from_pretrained", "an item of classes", kind, "a class of modules")
        folder = Path(directory)
        place = f"[from_pretrained] {folder}"
        arrays, metadata = load(folder / WEIGHTS)
        text, told = metadata.get("config"), _told(folder / CONFIG)
        if text is None and told is None:
            raise FileNotFoundError(f"{place}: there is no {CONFIG}")
        if text is not None and told is not None and text != told:
            warn(f"{place}: {CONFIG} differs from what {WEIGHTS} was saved with, which holds")
        with undrawn() as keep:
            module = constructed(place, text or told or "", known)
            if not isinstance(module, cls):
                raise ValueError(
                    f"{place}: it holds a {type(module).__name__}: a {cls.__name__} is required"
                )
            made: Any = module
            try:
                made.load_state_dict(arrays)
            except (TypeError, ValueError) as error:
                raise ValueError(f"{place}: {error}") from error
            keep()
        found: Self = made.eval()
        return found

    def fingerprint(self) -> bytes:
        """SHA-256 of class, constructor's arguments and state, 32 bytes: equal for a copy, another
        for any other bit of a weight. Of a module without known arguments the class's name stands
        for them."""
        import hashlib
        import json

        from ._description import described

        module: Module = self  # type: ignore[assignment]
        try:
            told = json.dumps(described(module, {}), sort_keys=True).encode()
        except ValueError:
            told = type(module).__name__.encode()
        found = hashlib.sha256(len(told).to_bytes(8, "little") + told)
        for name, value in sorted(module.state_dict().items()):
            found.update(f"{name} {value.dtype.str} {[*value.shape]}\n".encode())
            found.update(value.tobytes())
        return found.digest()


def _told(path: Path) -> str | None:
    """The text of the file; None where there is none."""
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
    except FileNotFoundError:
        return None
    if len(content) > _LONGEST:
        raise ValueError(f"[from_pretrained] {path}: more than {_LONGEST} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"[from_pretrained] {path}: {error}") from None
