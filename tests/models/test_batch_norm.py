"""Statistics of batch norm over several batches are those of all that a layer is given."""

import pytest
import torch
from mmdet.models.backbones import ResNet
from torch import nn

from mmsniper.models.batch_norm import calibrate, trained_batch_norms


class Net(nn.Module):
    """A detector as far as calibration sees it."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def data_preprocessor(self, batch, training):
        assert training
        return dict(inputs=batch)

    def forward(self, inputs, mode):
        assert mode == 'loss' and not torch.is_grad_enabled()
        return self.layers(inputs)


def batches(mean=0.0):
    """Of several sizes, which differ in what they show."""
    generator = torch.Generator().manual_seed(0)
    return [(n + 1) * torch.randn((2 + n, 3, 8, 8 + n), generator=generator) + mean + 2 * n for n in range(4)]


def values(parts):
    """(channels, all values)."""
    return torch.cat([part.transpose(0, 1).reshape(part.shape[1], -1) for part in parts], 1).double()


@pytest.mark.parametrize('mean', [0.0, 1000.0])
def test_they_are_the_moments_of_all_values(mean):
    net = Net(nn.BatchNorm2d(3))
    done = calibrate(net, batches(mean))
    every = values(batches(mean))
    assert done == (14, [], [])
    torch.testing.assert_close(net.layers[0].running_mean.double(), every.mean(1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(net.layers[0].running_var.double(), every.var(1), rtol=1e-3, atol=0)
    assert not net.training


def test_a_mean_of_batch_variances_would_lack_how_batches_differ():
    net = Net(nn.BatchNorm2d(3))
    calibrate(net, batches())
    of_batches = torch.stack([values([part]).var(1) for part in batches()]).mean(0)
    assert (net.layers[0].running_var > 1.3 * of_batches).all()


def test_later_layers_see_batches_normalized_by_themselves_and_no_dropout():
    torch.manual_seed(0)
    first, conv, second = nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
    net = Net(first, nn.Dropout(0.9), conv, second)
    weights = {name: value.clone() for name, value in net.named_parameters()}
    calibrate(net, batches())
    with torch.no_grad():
        seen = values([conv(nn.functional.batch_norm(part, None, None, training=True)) for part in batches()])
    torch.testing.assert_close(second.running_mean.double(), seen.mean(1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(second.running_var.double(), seen.var(1), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(weights[name], value) for name, value in net.named_parameters())


def test_it_does_not_depend_on_what_was_there_before_nor_on_the_order():
    one, two = Net(nn.BatchNorm2d(3)), Net(nn.BatchNorm2d(3))
    nn.init.constant_(two.layers[0].running_mean, 7)
    calibrate(one, batches()), calibrate(two, batches()[::-1])
    torch.testing.assert_close(one.layers[0].running_mean, two.layers[0].running_mean)
    torch.testing.assert_close(one.layers[0].running_var, two.layers[0].running_var)


def test_what_has_no_statistics_is_refused_by_name():
    with pytest.raises(ValueError, match='Net has no batch norm.*its normalization is GroupNorm'):
        calibrate(Net(nn.GroupNorm(1, 3)), batches())
    with pytest.raises(ValueError, match='its normalization is none'):
        calibrate(Net(nn.Conv2d(3, 3, 1)), batches())
    with pytest.raises(ValueError, match='its normalization is BatchNorm2d'):
        calibrate(Net(nn.BatchNorm2d(3, track_running_stats=False)), batches())
    with pytest.raises(ValueError, match='there is no batch'):
        calibrate(Net(nn.BatchNorm2d(3)), [])
    with pytest.raises(ValueError, match=r'all 20 layers of batch norm are frozen \(layers.0.bn1, .*norm_eval=False'):
        calibrate(Net(ResNet(18, norm_eval=True, base_channels=8)), batches())


def test_frozen_layers_stay_and_those_without_affine_gradients_do_not_count_as_frozen():
    norm = dict(type='BN', requires_grad=False)
    net = Net(ResNet(18, norm_eval=False, frozen_stages=1, base_channels=8, norm_cfg=norm))
    trained, frozen = trained_batch_norms(net)
    assert len(trained) == 15 and 'layers.0.bn1' in frozen and 'layers.0.layer1.0.bn1' in frozen
    inputs = [torch.randn(2, 3, 64, 64) for _ in range(2)]
    assert calibrate(net, inputs).frozen == frozen
    assert (net.layers[0].bn1.running_mean == 0).all()
    assert all((layer.running_mean != 0).any() for layer in trained.values())


def test_layers_that_nothing_reaches_are_named_and_stay():
    net = Net(nn.BatchNorm2d(3))
    net.head = nn.BatchNorm2d(5)
    assert calibrate(net, batches()).unused == ['head']
    assert (net.head.running_var == 1).all()


def test_a_layer_that_several_levels_share_sees_them_all():
    net = Net(nn.BatchNorm2d(3))
    net.forward = lambda inputs, mode: (net.layers(inputs), net.layers(inputs[..., ::2, ::2] + 5))
    calibrate(net, batches())
    every = values([part for batch in batches() for part in (batch, batch[..., ::2, ::2] + 5)])
    torch.testing.assert_close(net.layers[0].running_mean.double(), every.mean(1), rtol=1e-4, atol=1e-4)
