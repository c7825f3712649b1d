"""Networks of the papers."""

from ._alexnet import AlexNet
from ._discriminator import PatchDiscriminator
from ._generation import generate
from ._halton import halton_order
from ._maskgit import MaskGIT
from ._mnist import mnist_net_a, mnist_net_b
from ._resnet import ResNet18, ResNet50
from ._sqvae import SQVAE
from ._vision_transformer import VisionTransformer
from ._vqgan import VQGAN

__all__ = [
    "AlexNet",
    "MaskGIT",
    "PatchDiscriminator",
    "ResNet18",
    "ResNet50",
    "SQVAE",
    "VQGAN",
    "VisionTransformer",
    "generate",
    "halton_order",
    "mnist_net_a",
    "mnist_net_b",
]
