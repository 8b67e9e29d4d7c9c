"""``python -m mmsniper``, and ``torchrun -m mmsniper`` for several processes."""

from .cli import main

if __name__ == '__main__':
    main()
