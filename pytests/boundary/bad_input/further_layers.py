"""Interpolation, volumes and the layers of two inputs or of thresholds."""

from __future__ import annotations

from vqswift import nn
from vqswift.nn import functional as F

from .case import NAN, Case, ints, ones

FURTHER_LAYER: dict[str, Case] = {
    "interpolate nothing": (
        lambda: F.interpolate(ones(1, 2, 1)),
        ValueError,
        ["[interpolate] size = none", "a size or a scale_factor is required, and not both"],
    ),
    "interpolate both": (
        lambda: nn.Upsample(2, size=3),
        ValueError,
        ["[interpolate] size = [3]", "and not both"],
    ),
    "interpolate size": (
        lambda: F.interpolate(ones(1, 2, 1), 0),
        ValueError,
        ["[interpolate] size = [0]: must be at least 1"],
    ),
    "interpolate factor": (
        lambda: nn.Upsample(0.0),
        ValueError,
        ["[interpolate] scale_factor = [0.0]: must be finite and above 0"],
    ),
    "interpolate no number": (
        lambda: nn.Upsample(NAN),
        ValueError,
        ["[interpolate] scale_factor = [nan]"],
    ),
    "interpolate sizes": (
        lambda: F.interpolate(ones(1, 2, 2, 1), (1, 2, 3)),
        ValueError,
        ["[interpolate] size = [1, 2, 3]", "or 2 for shape [1, 2, 2, 1]"],
    ),
    "interpolate to nothing": (
        lambda: F.interpolate(ones(1, 4, 1), scale_factor=0.1),
        ValueError,
        ["[interpolate] shapes [1, 4, 1] and [1, 0, 1]", "or neither"],
    ),
    "interpolate from nothing": (
        lambda: F.interpolate(ones(1, 0, 1), 3),
        ValueError,
        ["[interpolate] shapes [1, 0, 1] and [1, 3, 1]"],
    ),
    "interpolate rank": (
        lambda: F.interpolate(ones(2, 2), 3),
        ValueError,
        ["[interpolate] shape [2, 2]", "[n, l, c], [n, h, w, c] or [n, d, h, w, c]"],
    ),
    "interpolate mode of a rank": (
        lambda: F.interpolate(ones(1, 2, 1), 3, mode="bicubic"),
        ValueError,
        ["[interpolate] shape [1, 2, 1]: mode bicubic requires [n, h, w, c]"],
    ),
    "interpolate mode": (
        lambda: F.interpolate(ones(1, 2, 1), 3, mode="area"),
        ValueError,
        ["[interpolate] mode = 'area'", "'trilinear'"],
    ),
    "interpolate corners": (
        lambda: F.interpolate(ones(1, 2, 1), 3, align_corners=True),
        ValueError,
        ["[interpolate] align_corners = true", "nearest"],
    ),
    "interpolate text": (
        lambda: nn.Upsample("2"),  # type: ignore[arg-type]
        TypeError,
        ["[interpolate] scale_factor = '2'"],
    ),
    "interpolate codes": (
        lambda: F.interpolate(ints(1, 2), 3),
        TypeError,
        ["interpolate", "int32", "floating"],
    ),
    "interpolate beyond memory": (
        lambda: F.interpolate(ones(1, 2, 1), 1 << 43),
        OverflowError,
        ["[interpolate]"],
    ),
    "interpolate beyond any": (
        lambda: F.interpolate(ones(1, 2, 1), scale_factor=1e300),
        OverflowError,
        ["[interpolate]"],
    ),
    "transposed volume channels": (
        lambda: nn.ConvTranspose3d(3, 4, 2, groups=2),
        ValueError,
        ["[conv_transpose3d] groups = 2", "in_channels = 3"],
    ),
    "transposed volume sizes": (
        lambda: nn.ConvTranspose3d(3, 0, 2),
        ValueError,
        ["[conv_transpose3d] 3 to 0 channels", "at least 1"],
    ),
    "transposed volume rank": (
        lambda: nn.ConvTranspose3d(1, 1, 2)(ones(1, 2, 2, 1)),
        ValueError,
        ["[conv_transpose3d] shape [1, 2, 2, 1]", "[n, d, h, w, c]"],
    ),
    "transposed volume output padding": (
        lambda: nn.ConvTranspose3d(1, 1, 2, output_padding=1)(ones(1, 2, 2, 2, 1)),
        ValueError,
        ["[conv_transpose3d] output_padding = (1, 1, 1)", "stride (1, 1, 1)"],
    ),
    "transposed volume of no depth": (
        lambda: nn.ConvTranspose3d(1, 1, 1, padding=(1, 0, 0))(ones(1, 2, 2, 2, 1)),
        ValueError,
        ["[conv_transpose3d]", "0 deep"],
    ),
    "transposed volume stride": (
        lambda: nn.ConvTranspose3d(1, 1, 1, stride=(1 << 40, 1, 1))(ones(1, 2, 2, 2, 1)),
        OverflowError,
        ["[conv_transpose3d]", "1099511627776"],
    ),
    "transposed volume bias": (
        lambda: F.conv_transpose3d(ones(1, 1, 1, 1, 1), ones(1, 2, 1, 1, 1), ones(1)),
        ValueError,
        ["[conv_transpose3d] bias of shape [1]: must be [2]"],
    ),
    "volume pool": (
        lambda: nn.MaxPool3d(2)(ones(1, 4, 4, 1)),
        ValueError,
        ["[max_pool3d] shape [1, 4, 4, 1]", "[n, d, h, w, c]"],
    ),
    "volume pool kernel": (
        lambda: F.avg_pool3d(ones(1, 2, 4, 4, 1), 3),
        ValueError,
        ["[avg_pool3d] shape [1, 2, 4, 4, 1]", "(3, 3, 3)", "(2, 4, 4)"],
    ),
    "volume pool padding": (
        lambda: nn.AvgPool3d(2, padding=2),
        ValueError,
        ["[avg_pool3d] padding = (2, 2, 2)", "half"],
    ),
    "volume pool stride": (
        lambda: nn.MaxPool3d(2, 0),
        ValueError,
        ["[max_pool3d]", "stride = (0, 0, 0)", "at least 1"],
    ),
    "adaptive size": (
        lambda: nn.AdaptiveMaxPool2d((0, 2)),
        ValueError,
        ["[adaptive_max_pool2d] output_size = (0, 2)", "at least 1"],
    ),
    "adaptive rank": (
        lambda: F.adaptive_max_pool1d(ones(2, 2), 1),
        ValueError,
        ["[adaptive_max_pool1d] shape [2, 2]", "[n, l, c]"],
    ),
    "bilinear sizes": (
        lambda: nn.Bilinear(0, 2, 3),
        ValueError,
        ["[bilinear] 0 and 2 to 3 features", "at least 1"],
    ),
    "bilinear features": (
        lambda: nn.Bilinear(2, 3, 4)(ones(5, 2), ones(5, 2)),
        ValueError,
        ["[bilinear] shapes [5, 2], [5, 2]", "2 and 3"],
    ),
    "bilinear rows": (
        lambda: nn.Bilinear(2, 3, 4)(ones(5, 2), ones(4, 3)),
        ValueError,
        ["[bilinear] shapes [5, 2], [4, 3]", "[..., i]"],
    ),
    "bilinear bias": (
        lambda: F.bilinear(ones(5, 2), ones(5, 3), ones(4, 2, 3), ones(1)),
        ValueError,
        ["[bilinear]", "the bias has shape [1], not [4]"],
    ),
    "shrink": (
        lambda: nn.Softshrink(-0.5),
        ValueError,
        ["[softshrink] lambd = -0.5: must be at least 0"],
    ),
    "hard shrink": (
        lambda: F.hardshrink(ones(2), NAN),
        ValueError,
        ["[hardshrink] lambd = nan: must be at least 0"],
    ),
    "threshold": (
        lambda: nn.Threshold(0.5, "0"),  # type: ignore[arg-type]
        TypeError,
        ["[threshold] value = '0'", "a number"],
    ),
    "softmin axis": (lambda: nn.Softmin(2)(ones(2)), ValueError, ["softmax", "axis = 2"]),
    "alibi": (
        lambda: nn.ALiBi()(ones(2, 3, 4)),
        ValueError,
        ["[alibi] shape [2, 3, 4]", "[n, heads, queries, keys]"],
    ),
    "dropout of volumes": (
        lambda: nn.Dropout3d()(ones(3)),
        ValueError,
        ["[dropout3d] shape [3]", "[n, ..., c]"],
    ),
    "projection": (
        lambda: nn.LSTM(3, 4, proj_size=4),
        ValueError,
        ["[lstm] proj_size = 4", "below hidden_size = 4"],
    ),
    "projected state": (
        lambda: nn.LSTM(3, 4, proj_size=2)(ones(5, 2, 3), (ones(1, 2, 4), ones(1, 2, 4))),
        ValueError,
        ["[lstm] hx has shape [1, 2, 4]", "[1, 2, 2]"],
    ),
    "projection of another": (
        lambda: nn.GRU(3, 4, proj_size=2),  # type: ignore[call-arg]
        TypeError,
        ["[gru] unknown option 'proj_size'"],
    ),
}
