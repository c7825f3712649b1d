"""Layers: native ones, and `Module` to compose them."""

from . import functional
from ._activation import GELU, Flatten, Identity, ReLU, Sigmoid, SiLU, Tanh
from ._collections import ModuleDict, ModuleList, Parameter
from ._convolution import Conv2d, ConvTranspose2d
from ._dropout import Dropout
from ._linear import Embedding, Linear
from ._module import Module
from ._normalization import BatchNorm, LayerNorm
from ._pooling import AvgPool2d, MaxPool2d, Upsample
from ._sequence import Residual, Sequential

__all__ = [
    "AvgPool2d",
    "BatchNorm",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "Embedding",
    "Flatten",
    "GELU",
    "Identity",
    "LayerNorm",
    "Linear",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ReLU",
    "Residual",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Tanh",
    "Upsample",
    "functional",
]
