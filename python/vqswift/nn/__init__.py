"""Layers: native ones, and `Module` to compose them."""

from . import functional
from ._activation import (
    CELU,
    ELU,
    GELU,
    GLU,
    SELU,
    Flatten,
    Hardsigmoid,
    Hardswish,
    Hardtanh,
    Identity,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    Mish,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Snake,
    Softmax,
    Softplus,
    Softsign,
    Tanh,
)
from ._collections import ModuleDict, ModuleList, Parameter
from ._convolution import Conv2d, ConvTranspose2d
from ._dropout import Dropout
from ._linear import Embedding, Linear
from ._module import Module
from ._normalization import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from ._pooling import AvgPool2d, MaxPool2d, Upsample
from ._sequence import Residual, Sequential

__all__ = [
    "AvgPool2d",
    "BatchNorm",
    "CELU",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "ELU",
    "Embedding",
    "Flatten",
    "GELU",
    "GLU",
    "GroupNorm",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "Identity",
    "InstanceNorm",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "MaxPool2d",
    "Mish",
    "Module",
    "ModuleDict",
    "ModuleList",
    "PReLU",
    "Parameter",
    "RMSNorm",
    "ReLU",
    "ReLU6",
    "Residual",
    "SELU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Snake",
    "Softmax",
    "Softplus",
    "Softsign",
    "Tanh",
    "Upsample",
    "functional",
]
