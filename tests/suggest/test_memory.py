"""The estimate of a step's memory."""

from mmengine.config import Config

from mmsniper.suggest.memory import estimate


def test_the_full_size_network(r50):
    found = estimate(r50.cfg, 512)
    # mmdet's own R-50 with two images of 800 x 1333 takes 4 GB: as many pixels as eight chips.
    assert 3.2 < found.gigabytes(8) < 5.2
    assert found.batch(16) in range(24, 45)
    assert found.batch(1) == 0


def test_pixels_count_and_half_precision_halves(demo):
    small, large = estimate(demo.cfg, 256), estimate(demo.cfg, 512)
    assert 3.8 < large.per_chip / small.per_chip < 4.2
    amp = Config(dict(model=demo.cfg.model, optim_wrapper=dict(type='AmpOptimWrapper', optimizer=dict(type='SGD'))))
    assert estimate(amp, 256).per_chip == small.per_chip / 2
