"""What an instance of a chip is good for, kept in ``gt_ignore_flags``.

mmdet knows two values, 0 and 1. A third one, and no array beside it, marks boxes out of the chip's valid range: every
mmdet transform that drops or adds instances keeps ``gt_ignore_flags`` in step, so validity survives them all.
"""

VALID = 0  # teaches every head
IGNORED = 1  # crowd or sliver: its surroundings are nobody's background
INVALID = 2  # an object seen at the wrong scale: labels RoIs, makes no positive anchor
