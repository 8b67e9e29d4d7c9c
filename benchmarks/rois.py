"""Which proposals of a chip train the RoI head: the RPN's best, less those out of range, or the best of those in range.

python benchmarks/rois.py [--work-dir work_dirs/rois] [--seeds 3] [--epochs 9] [--rois 64] [--jobs 2]

The demo's detector on the images of negatives.py, positive chips only. What is finished is not done again.
"""

from arms import arguments, compare


def main() -> None:
    """Read the arguments, train what is missing, print the table."""
    parser = arguments(__doc__.split('\n')[0], 'rois', epochs=9)
    parser.add_argument('--rois', type=int, default=64, help='proposals per chip')
    args = parser.parse_args()
    proposals, sampler = 'model.train_cfg.rpn_proposal.max_per_img', 'model.train_cfg.rcnn.sampler.num'
    arms = {
        'taken, then filtered': {proposals: args.rois, sampler: -1},
        'filtered, then taken': {proposals: 1000, sampler: args.rois},
    }
    compare(arms, args, 'rois', rois=args.rois)


if __name__ == '__main__':
    main()
