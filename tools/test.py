"""Test a detector with mmdet's own test script, mmsniper's components registered.

python tools/test.py CONFIG CHECKPOINT [--tta] [--work-dir DIR] [--out FILE.pkl] [--show-dir DIR] [--cfg-options ...]

--tta tests at all scales of training, as tta_model says. All options of mmdet's script work; --launcher pytorch or
slurm is for several processes.
"""

from run_mmdet import run

if __name__ == '__main__':
    run('test.py')
