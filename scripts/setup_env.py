"""Makes the virtual environment the Makefile's targets run in; does nothing if it is up to date.

    python scripts/setup_env.py [--stack openmmlab|onedl]

Environment variables:
    TORCH            what to install, default the CPU build of DEFAULT_TORCH
    TORCH_INDEX      package index to take it from
    MMSNIPER_CACHE   where compiled mmcv wheels are kept, default ~/.cache/mmsniper
    MAX_JOBS         compiler processes, default one per core
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / 'requirements'
DEFAULT_TORCH = 'torch==2.13.0'
CPU_INDEX = 'https://download.pytorch.org/whl/cpu'
# Stack: (folder of the environment, pins, distribution that must be compiled).
STACKS = {
    'openmmlab': ('.venv', 'constraints.txt', 'mmcv'),
    'onedl': ('.venv-onedl', 'constraints-onedl.txt', 'onedl-mmcv'),
}


def main() -> None:
    """Parse the arguments, take the lock, make the environment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--stack', choices=STACKS, default='openmmlab')
    stack = parser.parse_args().stack
    check_host()
    folder, pins, ops = STACKS[stack]
    env = ROOT / folder
    with locked(ROOT / f'{folder}.lock', f'another process sets up {folder}'):
        wanted = fingerprint(stack)
        if read_stamp(env) == wanted and runs(env / 'bin' / 'python'):
            return
        start = time.time()
        make(env, wanted, REQUIREMENTS / pins, ops)
        say(f'{folder} is ready ({time.time() - start:.0f} s)')


def make(env: Path, wanted: dict[str, str], pins: Path, ops: str) -> None:
    """Create or update the environment, and stamp it once everything is in."""
    found = read_stamp(env)
    stamp = env / 'mmsniper-env.json'
    stamp.unlink(missing_ok=True)
    keep = found.get('base') == wanted['base'] and runs(env / 'bin' / 'python')
    say(f'{"updating" if keep else "making"} {env.name} for the {wanted["stack"]} stack')
    if not keep:
        venv.create(env, clear=True, with_pip=True)
    python = env / 'bin' / 'python'
    lines = [line for path in (REQUIREMENTS / 'constraints-base.txt', pins) for line in pinned(path)]
    spec = next(line for line in lines if line.startswith(f'{ops}=='))
    # pip and setuptools first: they install the rest.
    pip(python, 'installer', 'install', *(x for x in lines if re.match(r'(pip|setuptools|wheel)==', x)))
    pip(python, 'pinned packages', 'install', '--no-deps', '-r', str(REQUIREMENTS / 'constraints-base.txt'))
    install_torch(python)
    pip(python, f'{spec} (wheel)', 'install', '--no-deps', str(mmcv_wheel(python, spec)))
    pip(python, 'OpenMMLab packages', 'install', '--no-deps', '--no-build-isolation', '-r', str(pins))
    pip(python, 'mmsniper', 'install', '--no-deps', '--no-build-isolation', '-e', str(ROOT))
    stamp.write_text(json.dumps(wanted, indent=2) + '\n')


def install_torch(python: Path) -> None:
    """Install the torch asked for, by default the CPU build (on Linux the plain one brings gigabytes of CUDA)."""
    asked, index = os.environ.get('TORCH'), os.environ.get('TORCH_INDEX')
    if asked or index:
        options = ['--index-url', index] if index else []
        pip(python, asked or DEFAULT_TORCH, 'install', *options, *(asked or DEFAULT_TORCH).split())
        return
    attempts = [[DEFAULT_TORCH]]
    if sys.platform == 'linux':
        attempts = [[f'{DEFAULT_TORCH}+cpu'], ['--index-url', CPU_INDEX, DEFAULT_TORCH], *attempts]
    for number, arguments in enumerate(attempts, 1):
        if pip(python, f'{DEFAULT_TORCH} (CPU)', 'install', *arguments, fatal=number == len(attempts)):
            return


def mmcv_wheel(python: Path, spec: str) -> Path:
    """The compiled wheel of ``spec`` for the torch installed: from the cache, else compiled into it."""
    # An mmcv compiled for one torch does not load with another, nor one without CUDA ops serve a GPU.
    facts = 'import torch; print(torch.__version__, "cuda" if torch.cuda.is_available() else "cpu")'
    torch, device = output(python, '-c', facts).split()
    tag = f'py{sys.version_info[0]}.{sys.version_info[1]}'
    cache = cache_root() / 'wheels' / f'torch{torch}-{device}-{tag}-{sys.platform}-{platform.machine()}'
    pattern = f'{spec.replace("-", "_").replace("==", "-")}-*.whl'
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / f'{spec}.lock', f'another process compiles {spec}'):
        for left in cache.glob(f'build-{spec}-*'):  # by a killed run
            shutil.rmtree(left)
        if not (found := sorted(cache.glob(pattern))):
            with tempfile.TemporaryDirectory(dir=cache, prefix=f'build-{spec}-') as scratch:
                compile_wheel(python, spec, Path(scratch))
                built = next(Path(scratch).glob(pattern))
                # Within one file system: a wheel is in the cache whole or not at all.
                found = [built.replace(cache / built.name)]
    return found[0]


def compile_wheel(python: Path, spec: str, target: Path) -> None:
    """Compile ``spec`` into ``target``, printing how many of its files are done."""
    compiler = os.environ.get('CXX', 'c++')
    if not shutil.which(compiler):
        fail(f'no C++ compiler ({compiler}): {spec} must be compiled; install gcc and g++ (Debian: build-essential)')
    jobs = os.environ.get('MAX_JOBS') or str(os.cpu_count() or 1)
    say(f'compiling {spec} with {jobs} job(s): once, some seven minutes on two cores; the wheel is kept in')
    say(f'  {target.parent}')
    flags = {'MMCV_WITH_OPS': '1', 'MAX_JOBS': jobs, 'CFLAGS': '-g0 -O2', 'CXXFLAGS': '-g0 -O2'}
    # ninja is the environment's own, found through PATH.
    path = f'{python.parent}{os.pathsep}{os.environ.get("PATH", "")}'
    command = pip_command(python, 'wheel', '-v', '--no-build-isolation', '--no-deps', '-w', str(target), spec)
    start, shown, log = time.time(), 0.0, []
    with subprocess.Popen(
        command,
        env={**os.environ, **flags, 'PATH': path},
        text=True,
        errors='replace',
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        for line in process.stdout or ():
            log.append(line)
            count = re.match(r'\s*\[(\d+)/(\d+)\]', line)
            # A terminal's line is rewritten; a log gets one every half minute.
            if count and (sys.stdout.isatty() or time.time() - shown > 30):
                shown = time.time()
                text = f'  {count[1]} of {count[2]} files, {shown - start:.0f} s'
                print(f'\r{text}', end='', flush=True) if sys.stdout.isatty() else print(text, flush=True)
    if sys.stdout.isatty():
        print()
    if process.returncode:
        print(*log[-60:], sep='', file=sys.stderr)
        fail(f'{spec} did not compile (above: the last lines of its build)')
    say(f'compiled {spec} in {time.time() - start:.0f} s')


def pip_command(python: Path, *arguments: str) -> list[str]:
    """The command line of the environment's pip."""
    return [str(python), '-m', 'pip', '--disable-pip-version-check', *arguments]


def pip(python: Path, what: str, *arguments: str, fatal: bool = True) -> bool:
    """Run pip; its output is shown only if it fails. Returns whether it succeeded."""
    done = subprocess.run(
        pip_command(python, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
    )
    if done.returncode == 0:
        say(f'  installed {what}')
    elif fatal:
        print(done.stdout, file=sys.stderr)
        fail(f'pip could not install {what} (above: what it said)')
    return done.returncode == 0


def check_host() -> None:
    """Say what is missing on this machine before anything is done."""
    if sys.version_info < (3, 10):  # noqa: UP036, the Makefile chooses, a user may not
        fail(f'Python >= 3.10 is needed, this is {platform.python_version()} ({sys.executable})')
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        fail('this Python cannot make virtual environments; on Debian: apt-get install python3-venv python3-dev')


def fingerprint(stack: str) -> dict[str, str]:
    """What the environment depends on; ``base`` is what cannot be changed in place."""
    parts = [sys.version, str(ROOT), os.environ.get('TORCH', ''), os.environ.get('TORCH_INDEX', '')]
    files = [REQUIREMENTS / 'constraints-base.txt', REQUIREMENTS / STACKS[stack][1], ROOT / 'setup.py', Path(__file__)]
    base = hashlib.sha256('\0'.join([*parts, DEFAULT_TORCH]).encode()).hexdigest()
    content = hashlib.sha256(b'\0'.join(path.read_bytes() for path in files)).hexdigest()
    return {'stack': stack, 'base': base, 'content': content}


def read_stamp(env: Path) -> dict[str, str]:
    """The fingerprint an environment was made for; empty if it is none or not finished."""
    try:
        return json.loads((env / 'mmsniper-env.json').read_text())
    except (OSError, ValueError):
        return {}


def pinned(path: Path) -> list[str]:
    """The requirements of a file, without comments and options."""
    return [line for line in path.read_text().splitlines() if line and line[0] not in '#-']


def cache_root() -> Path:
    """The user's cache of this project."""
    if chosen := os.environ.get('MMSNIPER_CACHE'):
        return Path(chosen)
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mmsniper'


def runs(python: Path) -> bool:
    """Whether an environment's interpreter is there and starts (a moved folder or a removed Python breaks it)."""
    return python.exists() and subprocess.run([python, '-c', ''], capture_output=True).returncode == 0


def output(python: Path, *arguments: str) -> str:
    """What the environment's interpreter prints."""
    done = subprocess.run([python, *arguments], capture_output=True, text=True)
    if done.returncode:
        fail(f'{done.stderr}\ntorch does not work in {python.parent.parent}')
    return done.stdout


@contextlib.contextmanager
def locked(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock file; it is freed by the system even if the process is killed."""
    with path.open('w') as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f'{busy}: waiting')
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def say(text: str) -> None:
    """Print a line of progress."""
    print(f'[env] {text}', flush=True)


def fail(text: str) -> None:
    """Stop with a message."""
    sys.exit(f'[env] error: {text}')


if __name__ == '__main__':
    main()
