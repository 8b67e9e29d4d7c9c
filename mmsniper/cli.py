"""The command ``mmsniper NAME ...``: every script of ``tools``, from a wheel or a clone.

Imports no torch: the list of tools comes at once.
"""

from __future__ import annotations

import ast
import difflib
import sys
import types
from pathlib import Path

from . import __version__
from .configs import find_config, home

# In the order in which one needs them. A script that is missing here is found by its own name.
NAMES = dict(
    suggest='suggest_scales',
    check='check_config',
    browse='browse_chips',
    report='chip_report',
    train='train',
    calibrate='calibrate_bn',
    test='test',
    infer='infer',
    focus='focus_curve',
    recipe='train_sniper',
    mine='mine_negative_chips',
    export='export_chips',
    demo='demo',
    shapes='make_shapes_dataset',
)


def main(argv: list[str] | None = None) -> None:
    """Run a tool as if its script were called; without a name, list them.

    Args:
        argv: The arguments, the tool's name first; default: the process's.

    Raises:
        SystemExit: As the tool does; with code 2 if there is none of that name.
    """
    name, *arguments = (sys.argv[1:] if argv is None else argv) or ['--help']
    tools = find_tools()
    if name in ('-h', '--help', 'help'):
        print(overview(tools))
        return
    if name == '--version':
        print(f'mmsniper {__version__}')
        return
    scripts = {path.stem: path for path in tools.values()}
    path = tools.get(name) or scripts.get(Path(name).stem)
    if path is None:
        near = difflib.get_close_matches(name, [*tools, *scripts], n=1, cutoff=0.5)
        hint = f'did you mean {near[0]}? ' if near else ''
        print(f'mmsniper: there is no tool {name}; {hint}`mmsniper` alone lists them', file=sys.stderr)
        raise SystemExit(2)
    if arguments and arguments[0][0:1] != '-' and f'{path.name} CONFIG' in docstring(path):
        try:
            arguments[0] = find_config(arguments[0])
        except FileNotFoundError as error:
            raise SystemExit(f'error: {error}') from None
    run_script(path, f'mmsniper {name}', arguments)


def find_tools() -> dict[str, Path]:
    """The scripts there are, by the name of their command: those of NAMES, then the others."""
    folder = home() / 'tools'
    # What the scripts import from each other lies beside them and is no command.
    scripts = {path.stem: path for path in sorted(folder.glob('*.py')) if "== '__main__'" in path.read_text('utf-8')}
    named = {name: scripts.pop(script) for name, script in NAMES.items() if script in scripts}
    return named | scripts


def overview(tools: dict[str, Path]) -> str:
    """The list of tools, with the first line of what each says about itself."""
    width = max(map(len, tools)) + 2
    lines = [f'  {name:{width}}{docstring(path).splitlines()[0]}' for name, path in tools.items()]
    return '\n'.join(
        [
            'usage: mmsniper NAME [arguments]; mmsniper NAME --help says which',
            '',
            *lines,
            '',
            "CONFIG is a file, or the name of one of mmsniper's own, such as sniper_faster-rcnn_r50_fpn_coco.",
            'Several processes: torchrun --nproc_per_node=8 -m mmsniper train CONFIG --launcher pytorch',
        ]
    )


def docstring(path: Path) -> str:
    """What a script says about itself, read and not imported."""
    return ast.get_docstring(ast.parse(path.read_text('utf-8'))) or path.stem


def run_script(path: Path, prog: str, arguments: list[str]) -> None:
    """Run a script as Python does, but for its name in messages.

    runpy would put the file's path into ``sys.argv[0]``, which argparse prints as what was called.

    Args:
        path: The script; what lies beside it can be imported.
        prog: What it is called in its messages.
        arguments: What it finds in ``sys.argv``.
    """
    sys.argv = [prog, *arguments]
    sys.path.insert(0, str(path.parent))
    module = types.ModuleType('__main__')
    # By its file, and not by a spec, processes that are spawned find the script.
    module.__file__ = str(path)
    sys.modules['__main__'] = module
    exec(compile(path.read_bytes(), str(path), 'exec'), module.__dict__)
