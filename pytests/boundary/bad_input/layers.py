"""Layers and losses."""

from __future__ import annotations

import vqswift as vq
from vqswift import nn
from vqswift.nn import functional as F

from .case import NAN, Case, ints, ones

LAYER: dict[str, Case] = {
    "linear sizes": (lambda: nn.Linear(0, 3), ValueError, ["linear", "0", "at least 1"]),
    "linear negative": (lambda: nn.Linear(-2, 3), ValueError, ["linear", "-2", "at least 1"]),
    "linear channels": (lambda: nn.Linear(4, 3)(ones(2, 5)), ValueError, ["linear", "[2, 5]", "4"]),
    "linear of codes": (
        lambda: nn.Linear(1, 3)(ints(1)),
        TypeError,
        ["linear", "int32", "floating"],
    ),
    "conv channels": (
        lambda: nn.Conv2d(3, 4, 3)(ones(1, 8, 8, 2)),
        ValueError,
        ["conv2d", "[1, 8, 8, 2]", "3"],
    ),
    "conv rank": (lambda: nn.Conv2d(3, 4, 3)(ones(8, 8, 3)), ValueError, ["conv2d", "[8, 8, 3]"]),
    "conv too small": (
        lambda: nn.Conv2d(3, 4, 5)(ones(1, 4, 4, 3)),
        ValueError,
        ["conv2d", "5x5", "4x4"],
    ),
    "conv stride": (
        lambda: nn.Conv2d(3, 4, 3, stride=0),
        ValueError,
        ["conv2d", "stride", "(0, 0)"],
    ),
    "conv padding": (
        lambda: nn.Conv2d(3, 4, 3, padding=-1),
        ValueError,
        ["conv2d", "padding", "(-1, -1)"],
    ),
    "conv kernel": (lambda: nn.Conv2d(3, 4, 0), ValueError, ["conv2d", "kernel", "(0, 0)"]),
    "conv pair": (lambda: nn.Conv2d(3, 4, (1, 2, 3)), ValueError, ["pair", "(1, 2, 3)"]),
    "conv weight rank": (
        lambda: F.conv2d(ones(1, 4, 4, 1), ones(1, 1)),
        ValueError,
        ["conv2d", "[1, 1]"],
    ),
    "conv bias": (
        lambda: F.conv2d(ones(1, 4, 4, 1), ones(2, 1, 1, 1), ones(3)),
        ValueError,
        ["conv2d", "[3]"],
    ),
    "transposed channels": (
        lambda: nn.ConvTranspose2d(3, 4, 2)(ones(1, 8, 8, 2)),
        ValueError,
        ["conv_transpose2d", "[1, 8, 8, 2]"],
    ),
    "transposed output padding": (
        lambda: nn.ConvTranspose2d(3, 4, 2, stride=2, output_padding=2)(ones(1, 8, 8, 3)),
        ValueError,
        ["conv_transpose2d", "output_padding", "2"],
    ),
    "pool stride": (
        lambda: F.max_pool2d(ones(1, 4, 4, 1), 2, 0),
        ValueError,
        ["max_pool2d", "stride", "(0, 0)"],
    ),
    "pool padding": (
        lambda: F.avg_pool2d(ones(1, 4, 4, 1), 2, 2, 2),
        ValueError,
        ["average_pool2d", "padding", "half"],
    ),
    "pool rank": (lambda: nn.MaxPool2d(2)(ones(4, 4)), ValueError, ["max_pool2d", "[4, 4]"]),
    "upsample": (lambda: F.upsample_nearest2d(ones(1, 2, 2, 1), 0), ValueError, ["upsample", "0"]),
    "batch norm channels": (
        lambda: nn.BatchNorm(3)(ones(4, 2)),
        ValueError,
        ["batch_norm", "[4, 2]", "[2]"],
    ),
    "batch norm of one": (
        lambda: nn.BatchNorm(3)(ones(1, 3)),
        ValueError,
        ["batch_norm", "[1, 3]", "more than one"],
    ),
    "batch norm empty": (
        lambda: nn.BatchNorm(3)(ones(0, 3)),
        ValueError,
        ["batch_norm", "[0, 3]", "training"],
    ),
    "batch norm momentum": (
        lambda: nn.BatchNorm(3, momentum=1.5),
        ValueError,
        ["batch_norm", "momentum = 1.5", "1"],
    ),
    "layer norm": (lambda: nn.LayerNorm(3)(ones(2, 4)), ValueError, ["layer_norm", "[2, 4]", "3"]),
    "embedding": (lambda: nn.Embedding(3, 2)(ints(3)), IndexError, ["3", "0..<3"]),
    "dropout": (lambda: nn.Dropout(1.5), ValueError, ["dropout", "1.5", "1"]),
    "dropout nan": (lambda: nn.Dropout(NAN), ValueError, ["dropout", "nan"]),
    "dropout below": (
        lambda: F.dropout(ones(2), -0.1),
        ValueError,
        ["dropout", "-0.1", "0...1"],
    ),
    "labels": (
        lambda: F.cross_entropy(ones(2, 3), ints(0, 3)),
        IndexError,
        ["cross_entropy", "3", "0..<3"],
    ),
    "labels shape": (
        lambda: F.cross_entropy(ones(2, 3), ints(0)),
        ValueError,
        ["cross_entropy", "[2, 3]", "[1]"],
    ),
    "labels dtype": (
        lambda: F.cross_entropy(ones(1, 3), ones(1)),
        TypeError,
        ["cross_entropy", "float32", "int32"],
    ),
    "smoothing": (
        lambda: F.cross_entropy(ones(1, 3), ints(0), 1.5),
        ValueError,
        ["label_smoothing = 1.5"],
    ),
    "loss of nothing": (
        lambda: F.mse_loss(ones(0), ones(0)),
        ValueError,
        ["mse_loss", "[0]", "one"],
    ),
    "loss shapes": (
        lambda: F.l1_loss(ones(2), ones(3)),
        ValueError,
        ["l1_loss", "[2]", "[3]"],
    ),
    "image size": (
        lambda: vq.models.SQVAE(vq.VectorQuant(4, 4), image_size=30),
        ValueError,
        ["sqvae_encoder", "image_size = 30", "it must be one of [28, 32, 64, 128]"],
    ),
    "image channels": (
        lambda: vq.models.SQVAE(vq.VectorQuant(8, 4), width=8)(ones(2, 32, 32, 1)),
        ValueError,
        ["conv2d", "[2, 32, 32, 1]"],
    ),
    "no classes": (lambda: vq.models.ResNet50(0), ValueError, ["resnet50", "classes = 0", "1"]),
    "no channels": (
        lambda: vq.models.ResNet50(channels=0),
        ValueError,
        ["resnet50", "channels = 0", "1"],
    ),
    "too many classes": (
        lambda: vq.models.ResNet50(1 << 62),
        OverflowError,
        ["4611686018427387904"],
    ),
    "empty image": (
        lambda: vq.models.ResNet50(2)(ones(1, 0, 4, 3)),
        ValueError,
        ["resnet50", "[1, 0, 4, 3]", "one pixel"],
    ),
    "one small image to train on": (
        lambda: vq.models.ResNet50(2)(ones(1, 32, 32, 3)),
        ValueError,
        ["resnet50", "[1, 32, 32, 3]", "above 32"],
    ),
    "recurrent sizes": (lambda: nn.GRU(0, 3), ValueError, ["gru", "input_size = 0", "at least 1"]),
    "recurrent layers": (
        lambda: nn.LSTM(2, 3, 0),
        ValueError,
        ["lstm", "num_layers = 0", "at least 1"],
    ),
    "recurrent dropout": (
        lambda: nn.RNN(2, 3, 2, dropout=1.5),
        ValueError,
        ["rnn", "1.5", "0...1"],
    ),
    "recurrent function": (
        lambda: nn.RNNCell(2, 3, nonlinearity="sin"),
        ValueError,
        ["rnn_cell", "'sin'", "'tanh' or 'relu'"],
    ),
    "recurrent inputs": (
        lambda: nn.GRU(4, 3)(ones(5, 2, 3)),
        ValueError,
        ["gru", "[5, 2, 3]", "[t, n, i] or [t, i]", "4 inputs"],
    ),
    "recurrent rank": (lambda: nn.GRU(3, 3)(ones(3)), ValueError, ["gru", "[3]", "[t, n, i]"]),
    "recurrent codes": (lambda: nn.GRU(1, 3)(ints(1)), TypeError, ["gru", "int32", "floating"]),
    "recurrent state": (
        lambda: nn.GRU(3, 4, 2)(ones(5, 2, 3), ones(1, 2, 4)),
        ValueError,
        ["gru", "hx has shape [1, 2, 4]", "[2, 2, 4]"],
    ),
    "recurrent states": (
        lambda: nn.LSTM(3, 4)(ones(5, 2, 3), (ones(1, 2, 4),)),  # type: ignore[arg-type]
        ValueError,
        ["lstm", "hx has 1 states", "(h, c)"],
    ),
    "recurrent cell input": (
        lambda: nn.LSTMCell(3, 4)(ones(5, 2)),
        ValueError,
        ["lstm_cell", "[5, 2]", "[n, i] or [i]", "3 inputs"],
    ),
    "no forward": (lambda: nn.Module()(ones(1)), NotImplementedError, ["Module", "forward"]),
}
