"""Axes, masks, per-call switches and bad input of the modules."""

from __future__ import annotations

import itertools

import pytest
import vqswift as vq

torch = pytest.importorskip("torch", reason="torch is not installed: make test-peers")

import vqswift.torch as vqt  # noqa: E402
from family import FAMILY, D, K, trained, vectors  # noqa: E402


@pytest.mark.parametrize("name", FAMILY)
def test_channels_first_and_views_are_as_channels_last(name: str) -> None:
    last, first = trained(FAMILY[name]()), trained(FAMILY[name]())
    first.dim = 1
    z = vectors(2, 4, 5, D)
    expected, wanted = last(z)
    for rows in (z.movedim(-1, 1), z.movedim(-1, 1).contiguous()):
        first.load_state_dict(trained(FAMILY[name]()).state_dict())
        z_q, info = first(rows)
        assert z_q.shape == rows.shape
        assert torch.equal(z_q.movedim(1, -1), expected)
        assert torch.equal(info.q, wanted.q)
        assert torch.equal(info.z.movedim(1, -1), wanted.z)
    codes = first.encode(rows)
    assert codes.shape == wanted.q.shape
    assert first.decode(codes).shape == rows.shape


def test_a_channels_last_image_is_read_where_it_lies() -> None:
    module = vqt.VectorQuant(64, K, dim=1).eval()
    image = vectors(2, 64, 8, 8).to(memory_format=torch.channels_last)
    rows = module._rows(image)
    assert rows.data_ptr() == image.data_ptr()


@pytest.mark.parametrize("axes", list(itertools.permutations(range(4))))
def test_vectors_and_gradients_in_any_order_of_memory(axes: tuple[int, ...]) -> None:
    z, pull = vectors(2, 4, 5, D), vectors(2, 4, 5, D)
    places = sorted(range(4), key=axes.__getitem__)

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.permute(axes).contiguous().permute(places)

    found = []
    for order in (moved, torch.Tensor.clone):
        given = order(z).requires_grad_()
        module = vqt.VectorQuant(D, K, seed=2)
        z_q, info = module(given)
        torch.autograd.backward([z_q, info.loss], [order(pull), torch.ones(())])
        found.append((z_q, info.q, info.loss, given.grad, module.codebook.grad))
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


@pytest.mark.parametrize("name", FAMILY)
def test_a_mask_leaves_vectors_out(name: str) -> None:
    module, short = trained(FAMILY[name]()), trained(FAMILY[name]())
    z = vectors(1, 10, D)
    mask = torch.arange(10)[None] < 6
    z[~mask] = torch.nan
    given = z.clone().requires_grad_()
    z_q, info = module(given, mask=mask)
    expected, wanted = short(z[:, :6])
    assert torch.equal(z_q[:, :6], expected)
    assert not z_q[:, 6:].any()
    assert (info.q[:, 6:] == -1).all()
    assert not info.z[:, 6:].any()
    assert torch.equal(info.loss, wanted.loss)
    (z_q.sum() + info.loss).backward()
    assert not given.grad[:, 6:].any()
    again, told = trained(FAMILY[name]())(z, lengths=torch.tensor([6]))
    assert torch.equal(again, z_q)
    assert torch.equal(told.q, info.q)


def test_a_call_may_freeze_the_codebook() -> None:
    module = trained(FAMILY["EMA, k-means, replaced"]())
    before = {n: v.clone() for n, v in module.state_dict().items()}
    module(vectors(3, 8, D), freeze=True)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not module.frozen
    module.freeze()
    module(vectors(3, 8, D), freeze=False)
    assert not torch.equal(module.codebook, before["codebook"])


def test_stages_are_chosen_at_use() -> None:
    module = vqt.ResidualVectorQuant(D, K, stages=4, seed=1)
    z = vectors(3, 8, D)
    z_q, info = module(z, stages=2)
    assert info.q.shape == (3, 8, 2)
    assert info.stage_losses.shape == (2,)
    assert torch.equal(module.decode(info.q), z_q)
    assert torch.equal(module.encode(z, stages=2), module.encode(z)[..., :2])
    for stages in (0, 5):
        with pytest.raises(ValueError, match=f"stages = {stages}: must be in 1...4"):
            module(z, stages=stages)


def test_stages_that_dropout_left_out_have_no_loss() -> None:
    module = vqt.ResidualVectorQuant(D, K, stages=4, quantizer_dropout=1.0, seed=1)
    counts = set()
    for seed in range(12):
        z = vectors(3, 8, D, seed=seed).requires_grad_()
        z_q, info = module(z)
        used = int((info.q[0, 0] >= 0).sum())
        counts.add(used)
        assert not info.stage_losses[used:].any()
        torch.testing.assert_close(info.stage_losses.sum(), info.loss)
        (z_q.sum() + info.stage_losses.sum()).backward()
    assert len(counts) > 1


@pytest.mark.parametrize("name", FAMILY)
def test_without_quantization_vectors_pass(name: str) -> None:
    module = trained(FAMILY[name]())
    before = {n: v.clone() for n, v in module.state_dict().items()}
    z = vectors(3, 8, D).requires_grad_()
    with vqt.no_quantization(module):
        z_q, info = module(z)
        (z_q.sum() + info.loss).backward()
        if name in ("plain", "FSQ", "LFQ", "Gumbel", "residual", "group"):
            assert torch.equal(z_q, z)
            assert torch.equal(z.grad, torch.ones_like(z))
    assert info.loss == 0
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key]), key
    z_q.data.zero_()
    assert z.any()


def test_an_empty_batch_is_quantized_in_evaluation_alone() -> None:
    module = vqt.VectorQuant(D, K)
    with pytest.raises(ValueError, match="training needs at least one vector"):
        module(torch.empty(0, D))
    z_q, info = module.eval()(torch.empty(0, D))
    assert z_q.shape == (0, D)
    assert info.q.shape == (0,)


def test_bad_input_is_named() -> None:
    module = vqt.VectorQuant(D, K)
    with pytest.raises(ValueError, match=r"axis 1 \(dim = -1\) must be feature_size = 6"):
        module(torch.zeros(3, D + 1))
    with pytest.raises(ValueError, match="dim=1 would take axis 1"):
        module(torch.zeros(2, D, 5))
    with pytest.raises(ValueError, match="z"):
        module(torch.full((3, D), torch.nan))
    with pytest.raises(ValueError, match="mask must have z's shape"):
        module(torch.zeros(3, D), torch.ones(4, dtype=torch.bool))
    with pytest.raises(TypeError, match="bool or integers"):
        module(torch.zeros(3, D), torch.ones(3))
    with pytest.raises(ValueError, match="only one of them"):
        z = torch.zeros(1, 3, D)
        module(z, torch.ones(1, 3, dtype=torch.bool), lengths=torch.tensor([1]))
    with pytest.raises(IndexError, match="16"):
        module.decode(torch.tensor([3, K]))
    with pytest.raises(IndexError, match=str(1 << 32)):
        module.decode(torch.tensor([1 << 32]))
    with pytest.raises(TypeError, match="codes are torch.float32"):
        module.decode(torch.zeros(3))
    with pytest.raises(ValueError, match="one of sync_nu and ema_decay must be 0"):
        vqt.VectorQuant(D, K, sync_nu=1.0, ema_decay=0.9)
    with pytest.raises(RuntimeError, match="waits for its start"):
        vqt.VectorQuant(D, K, kmeans_init=True).encode(torch.zeros(3, D))


def test_an_error_leaves_the_state_as_it_was() -> None:
    module = trained(FAMILY["EMA, k-means, replaced"]())
    before = {n: v.clone() for n, v in module.state_dict().items()}
    z = vectors(3, 8, D)
    z[1, 1, 1] = torch.inf
    with pytest.raises(ValueError):
        module(z)
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name]), name
    module(vectors(3, 8, D))


def test_fit_assign_and_update_are_the_native_ones() -> None:
    options = {"ema_decay": 0.9, "ema_manual": True, "replace_freq": 3}
    layer = vq.VectorQuant(D, K, seed=1, **options)
    module = vqt.VectorQuant(D, K, seed=1, **options)

    def assert_same() -> None:
        for name, value in layer.state_dict().items():
            assert (module.state_dict()[name].numpy() == value).all(), name

    z = vectors(90, D)
    layer.fit(z.numpy())
    module.fit(z)
    assert_same()
    layer(z.numpy())
    module(z)
    layer.update()
    module.update()
    assert_same()
    given = vectors(K, D, seed=4)
    layer.codebook.assign(given.numpy())
    module.assign(given)
    assert_same()
    with pytest.raises(RuntimeError, match="frozen"):
        module.freeze().fit(z)
    with pytest.raises(ValueError, match="2 codebooks: there are 1"):
        module.assign(given, given)


def test_effective_codebooks_are_what_vectors_are_compared_with() -> None:
    module = vqt.GroupVectorQuant(D, K, groups=2, affine_lr=0.5, cb_norm="l2", seed=1)
    with torch.no_grad():
        for part in module.children():
            part.affine_bias.normal_()
    codebooks = module.effective_codebooks
    for codebook in codebooks:
        torch.testing.assert_close(codebook.norm(dim=-1), torch.ones(K))
    z = vectors(20, D)
    codes = [vqt.nearest_codes(z[:, 3 * g : 3 * g + 3], codebooks[g]) for g in range(2)]
    assert torch.equal(module.encode(z), torch.stack(codes, -1))
    codebooks[0].sum().backward()
    assert module.get_parameter("0.codebook").grad is not None


def test_threads_follow_pytorch() -> None:
    before = torch.get_num_threads()
    module = vqt.VectorQuant(D, K)
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            module(vectors(8, D))
            assert vq.get_threads() == count
        vq.set_threads(1)
        module(vectors(8, D))
        assert vq.get_threads() == 1
    finally:
        torch.set_num_threads(before)
        vq.set_threads(before)


def test_layers_run_in_several_threads_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    module = vqt.VectorQuant(D, K, seed=1).eval()
    zs = [vectors(200, D, seed=seed) for seed in range(16)]
    expected = [module(z)[1].q for z in zs]
    with ThreadPoolExecutor(4) as pool:
        for ours, theirs in zip(pool.map(lambda z: module(z)[1].q, zs), expected, strict=True):
            assert torch.equal(ours, theirs)
