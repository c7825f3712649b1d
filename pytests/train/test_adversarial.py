"""Adversarial losses: by hand, what reaches whom, and a tokenizer that trains with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import vqswift as vq
from vqswift import train
from vqswift.nn import functional as F


def test_hinge_losses_by_hand() -> None:
    real, fake = np.array([2.0, 0.5, -1.0, 1.0]), np.array([-3.0, -0.5, 0.0, 2.0])
    # Of images 0, 0.5, 2 and 0; of made ones 0, 0.5, 1 and 3.
    assert train.hinge_discriminator_loss(real, fake).item() == (2.5 / 4 + 4.5 / 4) / 2
    assert train.hinge_generator_loss(fake).item() == 1.5 / 4
    r, f = (vq.Tensor(x, requires_grad=True) for x in (real, fake))
    train.hinge_discriminator_loss(r, f).backward()
    np.testing.assert_array_equal(r.grad.numpy()[:3], [0, -0.125, -0.125])
    np.testing.assert_array_equal(f.grad.numpy(), [0, 0.125, 0.125, 0.125])


def test_adaptive_weight_by_hand() -> None:
    weight = vq.nn.Parameter(np.array([[3.0, -1.0]]))
    x = np.array([[1.0], [2.0]])
    y = vq.Tensor(x) @ weight
    error, adversarial = y.sum() * 4.0, y[:, 0].sum()
    # x^T 1 = 3 in both columns, times 4; and in the first alone.
    wanted = 4 * 3 * math.sqrt(2) / (3 + 1e-4)
    assert train.adaptive_weight(error, adversarial, weight) == pytest.approx(wanted, rel=1e-6)
    assert weight.grad is None
    (error + adversarial).backward()  # the tapes are there still
    np.testing.assert_allclose(weight.grad.numpy(), [[15, 12]])
    y = vq.Tensor(x) @ weight
    assert train.adaptive_weight(y.sum() * 4.0, y.sum() * 0.0, weight) == 1e4
    assert train.adaptive_weight(y.sum() * 0.0, y.sum(), weight) == 0


def networks() -> tuple[vq.models.VQGAN, vq.models.PatchDiscriminator]:
    vq.manual_seed(0)
    quantizer = vq.VectorQuant(4, 8, kmeans_init=True, seed=0)
    sizes = {"width": 8, "multipliers": (1, 1), "blocks": 1, "features": 4}
    return vq.models.VQGAN(quantizer, **sizes), vq.models.PatchDiscriminator(width=4, layers=1)


def images(n: int) -> np.ndarray:
    return np.random.default_rng(0).random((n, 16, 16, 3), np.float32)


def test_losses_are_the_functions_and_wait_for_their_step() -> None:
    model, critic = networks()
    adversarial = train.AdversarialLoss(critic, weight=0.5, start=10)
    x = images(4)
    reconstruction, _ = model(x)
    error = F.mse_loss(reconstruction, x)
    state = critic.state_dict()
    assert adversarial.of_generator(reconstruction, error, model.last_layer, 9).item() == 0
    assert adversarial.of_discriminator(x, reconstruction, 9).item() == 0
    assert all(np.array_equal(value, critic.state_dict()[n]) for n, value in state.items())
    plain = train.hinge_generator_loss(critic(reconstruction))
    factor = train.adaptive_weight(error, plain, model.last_layer)
    found = adversarial.of_generator(reconstruction, error, model.last_layer, 10)
    assert found.item() == pytest.approx(0.5 * factor * plain.item(), rel=1e-6)
    wanted = train.hinge_discriminator_loss(critic(x), critic(reconstruction))
    judged = adversarial.of_discriminator(x, reconstruction, 10)
    assert judged.item() == pytest.approx(wanted.item(), rel=1e-6)
    judged.backward()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.grad is not None for parameter in critic.parameters())


def test_a_tokenizer_and_its_discriminator_train() -> None:
    """The discriminator tells them apart better than at first, and the error falls too."""
    model, critic = networks()
    adversarial = train.AdversarialLoss(critic, weight=0.1, start=5)
    outer = vq.optim.Adam(model.parameters(), lr=2e-3)
    inner = vq.optim.Adam(critic.parameters(), lr=2e-3)
    x, errors, judged = images(8), [], []
    for step in range(25):
        reconstruction, info = model(x)
        error = F.mse_loss(reconstruction, x)
        extra = adversarial.of_generator(reconstruction, error, model.last_layer, step)
        outer.zero_grad()
        (error + extra + info.loss).backward()
        outer.step()
        errors.append(error.item())
        if step >= adversarial.start:
            inner.zero_grad()
            loss = adversarial.of_discriminator(x, reconstruction, step)
            loss.backward()
            inner.step()
            judged.append(loss.item())
    assert errors[-1] < 0.5 * errors[0]
    assert judged[-1] < 0.8 * judged[0]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"weight": -1.0}, "[adversarial_loss] weight = -1.0: must be finite and not negative"),
        ({"weight": math.inf}, "[adversarial_loss] weight = inf: must be finite and not"),
        ({"start": -1}, "[adversarial_loss] start = -1: must not be negative"),
    ],
)
def test_what_does_not_fit(options: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        train.AdversarialLoss(networks()[1], **options)
    assert text in str(caught.value)


def test_a_last_layer_must_learn() -> None:
    y = vq.nn.Parameter(np.ones(2)).sum()
    with pytest.raises(ValueError, match=r"\[gradients\] .*it must require a gradient"):
        train.adaptive_weight(y, y, vq.Tensor(np.ones(2)))


def test_perceptual_weights_must_be_there() -> None:
    with pytest.raises(FileNotFoundError) as caught:
        train.PerceptualLoss("nowhere.pth")
    text = "[perceptual_loss] weights = 'nowhere.pth': no such file, and none is downloaded"
    assert str(caught.value) == text
