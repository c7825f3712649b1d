"""Random Python expressions for arguments, by annotation and by name, good ones and bad ones.

They are text, so that a fault can be told as the line that repeats it. Axes are of size 4 more
often than not, so that shapes fit each other; sizes are small, or so large that nothing holds them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

_SMALL = (0, 1, 1, 2, 2, 3, 4, 4, 4, 5, 8, 17)
_HUGE = (-1, -1, -7, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 1, 2**63, -(2**63), 2**64)
_FLOATS = ("0.0", "1.0", "0.5", "-1.0", "0.99", "1e-5", "100.0")
_ODD_FLOATS = ("nan", "inf", "-inf", "1e38", "1e300", "-0.0", "5e-324", "1e-40")
_DTYPES = (
    *("np.float64", "np.float16", "np.int8", "np.int16", "np.int32", "np.int64", "np.uint8"),
    *("np.uint16", "np.uint32", "np.uint64", "bool", "complex", "object", "'U3'", "'S8'"),
    *("'>f4'", "'M8[D]'", "np.longdouble", "[('a', 'f4'), ('b', 'i4')]", "'V4'"),
)
_WRONG = (
    *("None", "'text'", "''", "b'bytes'", "[]", "()", "{}", "{'a': 1}", "{1, 2}", "object()"),
    *("[None]", "['a']", "[1, 2]", "[[1.0], [2.0, 3.0]]", "[vq.Tensor([1.0])]", "True", "1 + 2j"),
    *(
        "lambda *a: 1",
        "np",
        "vq.Tensor",
        "int",
        "range(3)",
        "iter([1, 2])",
        "...",
        "NotImplemented",
    ),
    *("np.float32(1)", "np.array(None)", "slice(None)", "vq.Generator(1)", "vq.nn.Linear(4, 4)"),
    *("optimizer()", "Strange()", "'e\\u0301'", "'\\ud800'", "'a\\0b'", "2**70", "float('nan')"),
    *("memoryview(b'1234')", "np.ma.masked_array([1.0, 2.0], [True, False])"),
)
_PATHS = ("'a.safetensors'", "'a.safetensors'", "'missing/a'", "'.'", "''", "'a\\0b'", "'x' * 300")
_WORDS = (
    *("'none'", "'l2'", "'l2c'", "'bn'", "'gn'", "'in'", "'ste'", "'rotation'", "'directional'"),
    *("'learned'", "'ema'", "'normal'", "'kaiming'", "'uniform'", "'kmeans'", "'kmeans++'"),
    *(
        "'random'",
        "'I'",
        "'II'",
        "'III'",
        "'IV'",
        "'weights'",
        "'activations'",
        "'train'",
        "'test'",
    ),
    *("'mnist'", "'cifar10'", "'all'", "'conv'", "'dsq'", "'lsq'", "'cosine'", "'recommended'"),
)
# Loops that run as often as they are told: their time is the caller's.
_LOOPS = {"inner_steps", "outer_steps", "count", "total", "samples", "pool_layers", "iterations"}

MODULES = (
    *("vq.nn.Linear(4, 4)", "vq.nn.Conv2d(4, 4, 3, padding=1)", "vq.nn.ConvTranspose2d(4, 4, 2)"),
    *("vq.nn.BatchNorm(4)", "vq.nn.LayerNorm(4)", "vq.nn.Embedding(5, 4)", "vq.nn.ReLU()"),
    *("vq.nn.GELU()", "vq.nn.SiLU()", "vq.nn.Tanh()", "vq.nn.Sigmoid()", "vq.nn.Identity()"),
    *("vq.nn.Flatten()", "vq.nn.Dropout()", "vq.nn.MaxPool2d(2)", "vq.nn.AvgPool2d(2)"),
    *("vq.nn.Upsample(2)", "vq.nn.Sequential(vq.nn.Linear(4, 4), vq.nn.ReLU())", "vq.nn.Module()"),
    *("vq.nn.Residual(vq.nn.Linear(4, 4))", "vq.estimators.LSQ(2)", "vq.estimators.PACT(2)"),
    *("vq.estimators.LSQPlus(2)", "vq.estimators.WeightQuantizer(2, 1.0, 'dsq')", "Network()"),
    "vq.estimators.quantize_model(vq.nn.Sequential(vq.nn.Linear(4, 4)))",
)
QUANTIZERS = (
    *("vq.VectorQuant(4, 5)", "vq.GroupVectorQuant(4, 5, groups=2)", "vq.FSQ([4, 3, 2, 5])"),
    *("vq.ResidualVectorQuant(4, 5, stages=2)", "vq.LFQ(4)", "vq.GumbelQuant(4, 5)"),
    *("vq.SQVAEQuant(4, 5)", "vq.SQVAEQuant(4, 5, kind='IV')", "vq.VectorQuant(4, 5, dim=1)"),
    *("vq.VectorQuant(4, 5, kmeans_init=True)", "vq.VectorQuant(4, 5, ema_decay=0.9)"),
    "vq.VectorQuant(4, 5, inplace_optimizer=lambda p: vq.optim.SGD(p, 0.1))",
    "vq.VectorQuant(4, 5, ema_decay=0.9, ema_manual=True, replace_freq=1)",
    "vq.ResidualVectorQuant(4, 5, stages=2, norm='l2', cb_norm='l2')",
    "vq.VectorQuant(4, 5, affine_lr=1.0, sync_nu=1.0, replace_freq=2)",
)
_ESTIMATORS = (
    *("vq.estimators.dsq()", "vq.estimators.ste()", "vq.estimators.ede()", "vq.estimators.tanh()"),
    *("vq.estimators.reste()", "vq.estimators.ewgs()", "vq.estimators.from_samples([1.0, 2.0])"),
)


class Expressions:
    """Draws from one stream; `native` gives handles of `vqswift._core` for tensors and layers."""

    def __init__(self, random: Random, native: bool = False) -> None:
        self.random = random
        self.native = native

    def _one(self, choices: tuple[str, ...]) -> str:
        return choices[int(self.random.random() * len(choices))]

    def _chance(self, share: float) -> bool:
        return self.random.random() < share

    # Numbers

    def integer(self, name: str = "") -> str:
        small = self._chance(0.85) or name in _LOOPS
        return str(self.random.choice(_SMALL if small else _HUGE))

    def floating(self, name: str = "") -> str:
        return self._one(_FLOATS if self._chance(0.8) else _ODD_FLOATS)

    def sizes(self, name: str = "") -> str:
        count = self.random.choice((0, 1, 2, 2, 3, 4, 4))
        if self._chance(0.02):
            count = 33
        return f"[{', '.join(self.integer() for _ in range(count))}]"

    def pair(self, name: str = "") -> str:
        if not self.native and self._chance(0.5):
            return self.integer()
        return f"({self.integer()}, {self.integer()})"

    # Arrays and tensors

    def _shape(self) -> str:
        draw = self.random.random
        rank = int(draw() * 5)
        if rank == 4 and draw() < 0.8:
            return "(2, 4, 4, 4)"
        axes = [4 if draw() < 0.6 else self.random.choice((0, 1, 2, 3, 5, 8)) for _ in range(rank)]
        return "(" + "".join(f"{axis}, " for axis in axes) + ")"

    def array(self, name: str = "") -> str:
        kind, shape = self.random.random(), self._shape()
        if kind < 0.45:
            return f"floats({shape})"
        if kind < 0.6:
            return f"codes({shape})"
        if kind < 0.75:
            return f"np.ones({shape}, {self._one(_DTYPES)})"
        if kind < 0.82:
            return f"np.full({shape}, {self.floating()}, np.float32)"
        return self._one(
            (
                "floats((4, 4))[::2]",
                "floats((4, 8)).T",
                "floats((8, 4))[:, ::-1]",
                "np.asfortranarray(floats((2, 4, 4, 4)))",
                "np.broadcast_to(np.float32(1), (2**20, 2**20))",
                "np.broadcast_to(np.float32(1), (2**30, 4))",
                "np.ones((1,) * 33, np.float32)" if self._chance(0.5) else "np.zeros((0, 2**40))",
                "readonly((4, 4))",
                "floats((4, 4)).tolist()",
                "[[1, 2, 3, 4]]",
                "np.array([2**31, -2**31])",
                "np.array([2**63], np.uint64)",
                "1.5",
                "3",
            )
        )

    def tensor(self, name: str = "") -> str:
        kind = self.random.random()
        if kind < 0.5:
            made = f"vq.Tensor(floats({self._shape()}))"
        elif kind < 0.65:
            made = f"vq.Tensor(floats({self._shape()}), True)"
        elif kind < 0.72:
            made = f"(vq.Tensor(floats({self._shape()}), True) * 2.0)"
        elif kind < 0.87:
            made = f"vq.Tensor(codes({self._shape()}))"
        elif kind < 0.94:
            made = f"vq.Tensor(np.full({self._shape()}, {self.floating()}, np.float32))"
        else:
            made = f"vq.Tensor({self.array()})"
        return made + "._handle" if self.native else made

    def vectors(self, name: str = "") -> str:
        return self.tensor() if self.native or self._chance(0.5) else self.array()

    # Objects

    def generator(self, name: str = "") -> str:
        return "vq.Generator(1, 2)" + ("._handle" if self.native else "")

    def module(self, name: str = "") -> str:
        quantizers = 0.7 if name == "quantizer" else 0.3
        made = self._one(QUANTIZERS if self._chance(quantizers) else MODULES)
        return f"handle({made})" if self.native else made

    def optimizer(self, name: str = "") -> str:
        if self.native:
            return "optimizer()._handle"
        return self._one(("optimizer()", "vq.optim.Adam(vq.nn.Linear(4, 4).parameters())"))

    def state(self, name: str = "") -> str:
        if self.native:
            return self._one((f"[('a', {self.tensor()})]", f"[('weight', {self.tensor()})]", "[]"))
        module = self._one((*MODULES, *QUANTIZERS))
        return self._one(
            (f"{module}.state_dict()", "optimizer().state_dict()", f"{{'a': {self.array()}}}", "{}")
        )

    def tensors(self, name: str = "") -> str:
        return "[" + ", ".join(self.tensor() for _ in range(self.random.choice((0, 1, 2, 3)))) + "]"

    def handles(self, name: str = "") -> str:
        count = self.random.choice((0, 1, 2, 3))
        return "[" + ", ".join(self.module() for _ in range(count)) + "]"

    def native_estimator(self, name: str = "") -> str:
        bits, bound = self._one(("1", "2", "3")), self._one(("0.5", "1.0", "1e-30"))
        return f"{self._one(_ESTIMATORS)}.on({bits}, {bound})._handle"

    def native_options(self, name: str = "") -> str:
        kind = self.kind()
        place = self.random.choice(range(35))
        return self._one((f"options({kind})", f"options({kind}, {place}, {self.any()})"))

    def kind(self, name: str = "") -> str:
        kinds = ("vector_quant", "vector_quant", "vector_quant", "fsq", "conv2d")
        return repr(self._one((*kinds, "adam", "sgd", "cosine", "step", "dsq", "tanh", "sampled")))

    def words(self, name: str = "") -> str:
        dtype = self._one(("np.int64", "np.float64", "np.float64", "object", "np.float32"))
        return f"np.ones({self._one(('4', '5', '8', '0', '(2, 4)', '16'))}, {dtype})"

    def path(self, name: str = "") -> str:
        return self._one(_PATHS)

    def text(self, name: str = "") -> str:
        return self._one(_WORDS)

    def call(self, name: str = "") -> str:
        return self._one(("lambda x: x", "lambda *a: vq.Tensor(1.0)", "lambda p: optimizer()"))

    def any(self, name: str = "") -> str:
        wrong = (self.integer, self.floating, self.array, self.tensor, self.module, self.sizes)
        return self._one(_WRONG) if self._chance(0.6) else self.random.choice(wrong)()

    # By annotation and name

    _BY_NAME: dict[str, str] = {
        **dict.fromkeys(("path", "root", "folder", "metrics", "weights"), "path"),
        **dict.fromkeys(("state", "tensors"), "state"),
        **dict.fromkeys(("model", "module", "body", "modules"), "module"),
        **dict.fromkeys(("params", "parameters", "leaves"), "tensors"),
        **dict.fromkeys(("stride", "kernel_size", "padding", "scale", "output_padding"), "pair"),
        **dict.fromkeys(("z", "x", "mask", "codes", "other", "value", "images"), "vectors"),
        **dict.fromkeys(("axis", "dim"), "integer"),
        "betas": "pair",
        "kind": "kind",
    }
    _BY_TYPE: tuple[tuple[str, str], ...] = (
        ("EstimatorHandle", "native_estimator"),
        ("Mapping[str, object]", "native_options"),
        ("Sequence[TensorHandle]", "tensors"),
        ("Sequence[ModuleHandle]", "handles"),
        ("Sequence[tuple[str", "state"),
        ("TensorHandle", "tensor"),
        ("GeneratorHandle", "generator"),
        ("ModuleHandle", "module"),
        ("OptimizerHandle", "optimizer"),
        ("Callable", "call"),
        ("Mapping", "state"),
        ("Iterable[Tensor]", "tensors"),
        ("Sequence[Tensor", "tensors"),
        ("Parameters", "tensors"),
        ("ArrayLike", "vectors"),
        ("Array", "vectors"),
        ("Tensor", "vectors"),
        ("Generator", "generator"),
        ("Optimizer", "optimizer"),
        ("Quant", "module"),
        ("Module", "module"),
        ("Estimator", "estimator"),
        ("Sequence[int]", "sizes"),
        ("_Sizes", "sizes"),
        ("Axes", "integer"),
        ("air", "pair"),
        ("bool", "flag"),
        ("int", "integer"),
        ("float", "floating"),
        ("Path", "path"),
        ("str", "text"),
    )

    def flag(self, name: str = "") -> str:
        return self._one(("True", "False"))

    def estimator(self, name: str = "") -> str:
        return self._one(_ESTIMATORS)

    def argument(self, name: str, annotation: str) -> str:
        """An expression for a parameter, mostly one of its type."""
        if name == "root":  # None would read whatever sets the machine has
            return self.path()
        if name in _LOOPS:
            return self._one(("None", "'text'", "2.5")) if self._chance(0.1) else self.integer(name)
        if self._chance(0.12):
            return self.any()
        if "None" in annotation and self._chance(0.3):
            return "None"
        if self.native and "ndarray" in annotation:
            return self.vectors_out() if name == "array" else self.words()
        maker: Callable[[str], str] | None = None
        if not self.native and name in self._BY_NAME:
            maker = getattr(self, self._BY_NAME[name])
        for part, by_type in self._BY_TYPE if maker is None else ():
            if part in annotation:
                maker = getattr(self, by_type)
                break
        return (maker or self.any)(name)

    def vectors_out(self) -> str:
        return self._one((f"floats({self._shape()})", f"codes({self._shape()})", self.array()))


def annotation_text(annotation: object) -> str:
    """An annotation as text, quotes and module names dropped."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return re.sub(r"\b(np|npt|vq)\.", "", str(text))
