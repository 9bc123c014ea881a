"""RAE: what each prompt depends on, its place in the sequence, gradients, refusals."""

import pytest
import torch

from workbench.errors import StackError
from workbench.stack.regions import RegionConfig, RegionEncoder

CONFIG = RegionConfig(text_dim=6, base_prompts=4, channels=8, hidden=16)


def encoder() -> RegionEncoder:
    torch.manual_seed(0)
    return RegionEncoder(CONFIG)


def test_shape_and_order_are_base_regions_global():
    net, maps = encoder(), torch.randn(2, 5, 2, 12, 15)
    prompts = net(maps)
    assert prompts.shape == (2, 4, 14, 6)
    assert torch.equal(prompts[:, :, :4], net.base.expand(2, 4, -1, -1))
    features = net.backbone((maps[0, 3] - maps[0, 2])[None])
    whole = net.global_head(features.mean((2, 3)))
    assert torch.allclose(prompts[0, 2, 13], whole[0], atol=1e-6)
    for row in range(3):
        for column in range(3):  # 12×15 cells: each region is 4×5
            cell = features[:, :, 4 * row : 4 * row + 4, 5 * column : 5 * column + 5].mean((2, 3))
            assert torch.allclose(prompts[0, 2, 4 + 3 * row + column], net.region_head(cell)[0], atol=1e-6)


def test_only_change_over_time_matters():
    net, maps = encoder(), torch.randn(1, 3, 2, 6, 6)
    assert torch.allclose(net(maps), net(maps + 5.0), atol=1e-5)
    still = net(maps[:, :1].expand(-1, 3, -1, -1, -1))
    assert torch.equal(still[:, 0], still[:, 1])


def test_a_change_in_one_corner_moves_that_region_most():
    net = encoder()
    maps = torch.zeros(1, 2, 2, 24, 24)
    quiet = net(maps)
    maps[0, 1, 1, 18:, 18:] = 1.0
    moved = (net(maps) - quiet)[0, 0].norm(dim=-1)
    assert int(moved.argmax()) == 4 + 8
    assert float(moved[:4].max()) == 0.0
    assert float(moved[4]) == 0.0  # the opposite corner


def test_a_gain_lets_small_steps_be_heard():
    """Class maps that move by 0.07, as the bundled decoder's do: without a gain the biases drown them."""
    torch.manual_seed(0)
    blobs = torch.nn.functional.interpolate(torch.randn(72, 2, 4, 4), 16, mode="bilinear").unflatten(0, (8, 9))
    maps = blobs * 0.07 / float(blobs.diff(dim=1).std())
    moved = {}
    for gain in (1.0, 20.0):
        torch.manual_seed(1)
        net = RegionEncoder(RegionConfig(text_dim=96, base_prompts=2, gain=gain))
        told, still = net(maps)[:, :, 2:], net(torch.zeros_like(maps))[:, :, 2:]
        moved[gain] = float((told - still).norm() / still.norm())
    assert moved[1.0] < 0.1 < 0.5 < moved[20.0]
    with pytest.raises(StackError, match="gain is 0"):
        RegionConfig(text_dim=6, gain=0.0)


def test_a_single_picture_yields_the_base_prompts_once():
    net = encoder()
    prompts = net(torch.randn(3, 1, 2, 5, 5))
    assert prompts.shape == (3, 1, 4, 6)
    assert torch.equal(prompts[2, 0], net.base)


def test_prompt_count_tells_what_forward_returns():
    net = encoder()
    for frames in (1, 2, 16):
        assert net(torch.zeros(1, frames, 2, 4, 4)).flatten(1, 2).shape[1] == CONFIG.prompt_count(frames)


def test_grids_smaller_than_three_by_three_work():
    assert encoder()(torch.randn(1, 2, 2, 2, 1)).shape == (1, 1, 14, 6)


def test_gradient_reaches_every_parameter():
    net = encoder()
    net(torch.randn(2, 4, 2, 6, 6)).square().sum().backward()
    assert all(bool(parameter.grad.any()) for parameter in net.parameters())


@pytest.mark.parametrize("shape", [(2, 5, 6, 6), (1, 4, 3, 6, 6), (1, 0, 2, 6, 6), (1, 4, 2, 0, 6)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(StackError, match="class maps"):
        encoder()(torch.zeros(shape))


def test_a_config_refuses_nonsense():
    with pytest.raises(StackError, match="base_prompts is 0"):
        RegionConfig(text_dim=6, base_prompts=0)
