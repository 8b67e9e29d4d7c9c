"""Whether it costs accuracy that chips of an image come near each other, so that it is loaded once.

python benchmarks/order.py [--work-dir work_dirs/order] [--seeds 3] [--epochs 7] [--jobs 2]

The demo's detector on the images of negatives.py, positive chips only, eight per step: in random order, or with an
image's chips in every eighth step until it is done. What is finished is not done again.
"""

from arms import arguments, compare


def main() -> None:
    """Read the arguments, train what is missing, print the table."""
    args = arguments(__doc__.split('\n')[0], 'order', epochs=7).parse_args()
    arms = {
        'in random order': {'train_dataloader.batch_sampler': None},
        'with images kept, 8 lanes': {'train_dataloader.batch_sampler.lanes': 8},
    }
    compare(arms, args, 'order')


if __name__ == '__main__':
    main()
