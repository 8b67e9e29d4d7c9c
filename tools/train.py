"""Train a detector with mmdet's own training script, mmsniper's components registered.

python tools/train.py CONFIG [--work-dir DIR] [--amp] [--resume] [--cfg-options ...]
"""

from run_mmdet import run

if __name__ == '__main__':
    run('train.py')
