"""Builds mmsniper, with configs/, tools/ and model-index.yml as mmsniper/.mim, where mim looks for them."""

import os
import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM = ('configs', 'tools', 'model-index.yml')
EXTRAS = {'mim': 'mminstall', 'large': 'large', 'labels': 'labels', 'tests': 'tests'}


class BuildWithMim(build_py):
    """Copies the files into what is built, or links to them when the install is editable."""

    def run(self) -> None:
        """Build the package, then ``.mim``."""
        super().run()
        home = ROOT if self.editable_mode else Path(self.build_lib)
        target = home / 'mmsniper' / '.mim'
        # Made anew: a file deleted from configs/ must not survive in an old build folder.
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in MIM:
            if self.editable_mode:
                link(ROOT / name, target / name)
            else:
                copy(ROOT / name, target / name)
        if self.editable_mode:
            name_the_clone(Path(self.get_finalized_command('install').install_lib))

    def get_outputs(self, include_bytecode: bool = True) -> list:
        """List what ``run`` adds as well, so that an uninstall by record removes it."""
        added = Path(self.build_lib) / 'mmsniper' / '.mim'
        files = [] if self.editable_mode else [str(path) for path in added.rglob('*') if path.is_file()]
        return super().get_outputs(include_bytecode) + files


def name_the_clone(wheel: Path) -> None:
    """Let openmim and mmengine find an editable install, which has no folder beside its metadata.

    Both join the folder of the metadata with the first line of top_level.txt; a whole path stands for itself. The name
    follows for those who read all lines.
    """
    for path in wheel.glob('*.dist-info/top_level.txt'):
        path.write_text(f'{ROOT / "mmsniper"}\nmmsniper\n')


def link(source: Path, target: Path) -> None:
    """Link to a file or folder; copy where the system has no links."""
    try:
        target.symlink_to(os.path.relpath(source, target.parent), target_is_directory=source.is_dir())
    except OSError:
        copy(source, target)


def copy(source: Path, target: Path) -> None:
    """Copy a file or folder without what Python left in it."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__', '*.pyc'))
    else:
        shutil.copy(source, target)


def version() -> str:
    """The package's version, read and not imported: a build has no torch."""
    return re.search(r"^__version__ = '(.+)'", (ROOT / 'mmsniper' / 'version.py').read_text(), re.M)[1]


def requirements(name: str) -> list:
    """The lines of a file in requirements/."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


setup(
    name='mmsniper',
    version=version(),
    description='SNIPER multi-scale training for MMDetection 3.x',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords='object detection, small objects, multi-scale training, SNIPER, MMDetection',
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Science/Research',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
    python_requires='>=3.10',
    packages=find_packages(include=['mmsniper', 'mmsniper.*']),
    package_data={'mmsniper.report': ['page.html', 'page.css']},
    install_requires=requirements('runtime'),
    extras_require={name: requirements(file) for name, file in EXTRAS.items()},
    entry_points={'console_scripts': ['mmsniper = mmsniper.cli:main']},
    cmdclass={'build_py': BuildWithMim},
)
