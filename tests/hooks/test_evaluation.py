import pytest
from mmengine.runner import Runner


def runner_of(cfg, **changes):
    cfg.merge_from_dict(changes)
    cfg.experiment_name = cfg.work_dir.replace('/', '_')
    return Runner.from_cfg(cfg)


def test_a_test_follows_the_planner_of_the_config(tiny_cfg):
    tiny_cfg.tta_model.tta_cfg.update(scales='planner', ranges='planner')
    tiny_cfg.model = dict(**tiny_cfg.tta_model, module=tiny_cfg.model)
    tiny_cfg.test_dataloader.dataset.pipeline = tiny_cfg.tta_pipeline
    runner = runner_of(tiny_cfg)
    assert runner.model.scales == ()
    runner.test()
    assert runner.model.scales == (2.0, 1.0, (128, 128))
    assert [high for _, high in runner.model.ranges] == pytest.approx([48, 108, float('inf')])


@pytest.fixture
def ignoring(tiny_cfg):
    """Its second class is to be ignored."""
    metainfo = dict(classes=('thing',), ignored_categories=('other',))
    for loader in (tiny_cfg.train_dataloader.dataset, tiny_cfg.val_dataloader, tiny_cfg.test_dataloader):
        loader.dataset.metainfo = dict(metainfo)
    tiny_cfg.model.roi_head.bbox_head.num_classes = 1
    return tiny_cfg


def test_regions_want_a_metric_that_knows_them(ignoring):
    ignoring.val_evaluator.type = 'CocoMetric'
    with pytest.raises(ValueError, match=r"val_evaluator: mmdet's CocoMetric counts what is detected in other"):
        runner_of(ignoring).train()


def test_a_training_with_regions_validates_and_tests(ignoring):
    """From the config's one option to the figures."""
    runner = runner_of(ignoring, train_cfg=dict(max_epochs=1, val_interval=1))
    runner.train()
    assert runner.train_dataloader.dataset.n_regions == 7  # and a crowd
    evaluated = runner.val_evaluator.metrics[0]._coco_api.dataset['annotations']
    assert sum(one['iscrowd'] for one in evaluated) == 7
    assert {one['category_id'] for one in evaluated} == {3}
