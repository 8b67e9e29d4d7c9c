# The short schedule: an RPN that has seen positive chips only. Testing it with --tta mines negative chips on the
# training set, from its proposals at all scales. tools/train_sniper.py runs both, on the data of the config it is
# given.
_base_ = [
    '../_base_/models/sniper_rpn_r50_fpn.py',
    '../_base_/datasets/sniper_coco_detection.py',
    '../_base_/schedules/sniper_7e.py',
    '../_base_/tta/sniper_tta.py',
    '../_base_/sniper_runtime.py',
]

# Weak on purpose: where it fires on background, the detector is to learn. There is nothing to validate.
train_cfg = dict(max_epochs=2, val_begin=1000)
param_scheduler = [dict(type='LinearLR', start_factor=1 / 30, by_epoch=False, begin=0, end=1000)]

chips = _base_.train_dataloader.dataset
# Its annotations are there to be mined, not to be evaluated.
mined = dict(chips.dataset, type='mmsniper.CheckedCocoDataset', evaluated=False, test_mode=True)
test_dataloader = dict(num_workers=8, dataset=dict(mined, _delete_=True, pipeline=_base_.test_pipeline))
# More than 25 proposals at the finest scale, more than 10 elsewhere.
test_evaluator = dict(
    _delete_=True,
    type='mmsniper.NegativeChipMiner',
    planner=chips.planner,
    min_proposals=[26, 11, 11],
    out_file='work_dirs/sniper_rpn_r50_fpn_2e_coco/negative_chips.npz',
)
# Every scale's proposals, of every size: the planner asks at which scale a proposal is valid.
tta_model = dict(tta_cfg=dict(scales=chips.planner.scales, ranges=None, score_thr=0.0, max_per_img=-1))
