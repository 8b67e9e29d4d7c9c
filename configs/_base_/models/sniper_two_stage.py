# Labels by valid range for detectors with an RPN and a RoI head; sniper_*-rcnn_*.py beside this file put them in.
rpn_labels = dict(
    assigner=dict(type='mmsniper.ValidRange', assigner='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4)
)
# Of the RPN's proposals the best 300 train the head, once those that are out of range are gone.
roi_labels = dict(
    assigner=dict(type='mmsniper.ValidRangeRoIAssigner'),
    sampler=dict(_delete_=True, type='mmsniper.ValidRangeSampler', num=300),
)
