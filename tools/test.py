"""Test a detector with mmdet's own test script, mmsniper's components registered.

python tools/test.py CONFIG CHECKPOINT [--work-dir DIR] [--cfg-options ...]
"""

from run_mmdet import run

if __name__ == '__main__':
    run('test.py')
