"""AHD: cosine, fusion and softmax checked by hand; gradients; learning a drawn target; refusals."""

import pytest
import torch
from torch.nn import functional

from workbench.errors import StackError
from workbench.stack.heatmap import HeatmapConfig, HeatmapDecoder, tap_layers, text_prototype, upsample

CONFIG = HeatmapConfig(vision_dim=8, text_dim=6, tap_count=3, hidden=16)


def decoder(config: HeatmapConfig = CONFIG) -> HeatmapDecoder:
    torch.manual_seed(0)
    net = HeatmapDecoder(config)
    net.set_prototypes(torch.randn(config.text_dim), torch.randn(config.text_dim))
    return net


def taps(pictures: int = 2) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(pictures, 4, 5, 8) for _ in range(3)]


def test_class_maps_are_the_weighted_cosines():
    net, features = decoder(), taps()
    with torch.no_grad():
        net.tap_weights.copy_(torch.tensor([0.5, -1.0, 2.0]))
    output = net(features)
    expected = torch.zeros(2, 2, 4, 5)
    for weight, projection, tap in zip(net.tap_weights, net.projections, features, strict=True):
        for c in range(2):
            expected[:, c] += weight * functional.cosine_similarity(projection(tap), net.text_prototypes[c], dim=-1)
    assert torch.allclose(output.class_maps, expected, atol=1e-6)
    difference = (expected[:, 1] - expected[:, 0]) / net.temperature
    assert torch.allclose(output.heatmap, torch.sigmoid(difference), atol=1e-5)
    assert output.heatmap.shape == (2, 4, 5)
    assert bool(((output.heatmap >= 0) & (output.heatmap <= 1)).all())


def test_equal_prototypes_say_half_everywhere():
    net, one = decoder(), torch.randn(6)
    net.set_prototypes(one, 3 * one)  # only directions matter
    assert torch.allclose(net(taps()).heatmap, torch.full((2, 4, 5), 0.5), atol=1e-6)


def test_gradient_reaches_every_tap_weight_projection_and_the_temperature():
    net = decoder()
    net(taps()).heatmap.square().sum().backward()
    assert bool((net.tap_weights.grad != 0).all())
    assert float(net.log_scale.grad) != 0
    assert all(bool(parameter.grad.any()) for parameter in net.projections.parameters())


def test_temperature_starts_as_configured_and_stays_above_one_hundredth():
    net = decoder()
    assert float(net.temperature) == pytest.approx(0.07, rel=1e-5)
    with torch.no_grad():
        net.log_scale.fill_(50.0)
    assert float(net.temperature) == pytest.approx(0.01, rel=1e-5)


def test_a_marked_cell_is_learned():
    net, features = decoder(), taps(pictures=8)
    target = torch.zeros(8, 4, 5)
    target[:, 1, 2:4] = 1.0
    for tap in features:
        tap[:, 1, 2:4, 0] += 4.0
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(40):
        optimiser.zero_grad()
        functional.binary_cross_entropy(net(features).heatmap, target).backward()
        optimiser.step()
    heatmap = net(features).heatmap.detach()
    assert float(heatmap[target == 1].min()) > 0.8
    assert float(heatmap[target == 0].max()) < 0.2


def test_prototypes_travel_with_the_weights():
    first, second = decoder(), HeatmapDecoder(CONFIG)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(taps()).heatmap, second(taps()).heatmap)


def test_text_prototype_is_the_mean_over_prompts_and_real_tokens():
    embeddings = torch.arange(12.0).reshape(2, 3, 2)
    assert text_prototype(embeddings).tolist() == [5.0, 6.0]
    mask = torch.tensor([[True, False, False], [True, True, False]])
    assert torch.allclose(text_prototype(embeddings, mask), torch.tensor([14 / 3, 17 / 3]))


@pytest.mark.parametrize(
    ("depth", "layers"), [(32, (1, 8, 16, 32)), (24, (1, 6, 12, 24)), (12, (1, 3, 6, 12)), (4, (1, 2, 4)), (1, (1,))]
)
def test_tap_layers_keep_the_fractions(depth, layers):
    assert tap_layers(depth) == layers


def test_upsample_covers_the_whole_picture_and_keeps_the_range():
    heatmap = torch.zeros(4, 6, dtype=torch.float16)
    heatmap[1, 4] = 1.0
    large = upsample(heatmap, (40, 60))
    assert large.shape == (40, 60)
    assert large.dtype == torch.float32
    row, column = divmod(int(large.argmax()), 60)
    assert (row // 10, column // 10) == (1, 4)
    assert upsample(torch.rand(3, 4, 4), (7, 9)).shape == (3, 7, 9)
    assert torch.allclose(upsample(torch.full((1, 2, 2), 0.3), (5, 5)), torch.full((1, 5, 5), 0.3))


def test_misuse_is_refused():
    net = decoder()
    with pytest.raises(StackError, match="2 taps"):
        net(taps()[:2])
    with pytest.raises(StackError, match="one size"):
        net([*taps()[:2], torch.zeros(2, 4, 4, 8)])
    with pytest.raises(StackError, match="set_prototypes"):
        HeatmapDecoder(CONFIG)(taps())
    with pytest.raises(StackError, match="abnormal"):
        net.set_prototypes(torch.ones(6), torch.zeros(6))
    with pytest.raises(StackError, match="temperature"):
        HeatmapConfig(vision_dim=1, text_dim=1, initial_temperature=0.0)
    with pytest.raises(StackError, match="hidden"):
        HeatmapConfig(vision_dim=1, text_dim=1, hidden=0)
    with pytest.raises(StackError, match="depth"):
        tap_layers(0)
    with pytest.raises(StackError, match="rows"):
        upsample(torch.zeros(4), (2, 2))
    with pytest.raises(StackError, match="1 or more"):
        upsample(torch.zeros(2, 2), (0, 4))
    with pytest.raises(StackError, match="tokens"):
        text_prototype(torch.zeros(3, 2))
