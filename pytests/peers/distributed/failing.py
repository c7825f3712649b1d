"""A run on ranks that is killed, hangs or leaves: `failing.py ENGINE FOLDER STEPS TIMEOUT [HANG]`,
where a negative step is that at which rank 1 leaves."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import vqswift as vq
from training import digest, trainer
from vqswift import distributed, train


def main(engine: str, folder: str, steps: str, timeout: str, hang: str = "") -> None:
    here = distributed.init(engine, timeout=float(timeout))
    made = trainer("best", 8)
    path = Path(folder)

    def after(run: Any, step: Any) -> None:
        (path / f"pid-{here.rank}").write_text(f"{os.getpid()} {step.step}", encoding="utf-8")
        if hang and here.rank == 1 and step.step == abs(int(hang)):
            if int(hang) < 0:
                sys.exit("it leaves")
            time.sleep(3600)

    run = train.Run(path, made, checkpoint_every=1, callbacks=[after])
    run.fit(int(steps), progress=False)
    if here.rank == 0:
        print(f"done: {digest(made)}", flush=True)


if __name__ == "__main__":
    vq.set_threads(1)
    main(*sys.argv[1:])
