"""What the site takes from the rest of the repository: MkDocs calls this.

Pages link as they do on a code host: ``../configs/sniper/README.md``. A link that leaves docs/ to a Markdown or Python
file makes that file a page of the site, under its path in the repository, and so do the links found there; a link to a
folder leads to its README. ``commands.md`` gets a section for each tool, read from its source: nothing is imported.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r'(?<=\]\()(?!\w+:|#)([^)#\s]+)')
SHOWN = {'.md', '.py', '.yml', '.json', ''}
ROLE = re.compile(r':(?:class|meth|func):<code>~?(?:[\w.]+\.)?(\w+)</code>')
COMMANDS = '<!-- commands -->'


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what the pages link to beyond docs/, and what that links to."""
    to_read = [ROOT / 'docs' / file.src_uri for file in files.documentation_pages()]
    to_read += [ROOT / name for name in nav_pages(config.nav) if not (ROOT / 'docs' / name).exists()]
    seen = set()
    while to_read:
        source = to_read.pop()
        if source in seen or not source.is_file():
            continue
        seen.add(source)
        uri = uri_of(source)
        if uri is not None and files.get_file_from_path(uri) is None:
            files.append(File.generated(config, uri, content=content_of(source)))
        if source.suffix == '.md':
            to_read += [target for link in LINK.findall(source.read_text()) if (target := target_of(source, link))]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at where the files are in the site; list the commands."""
    uri = page.file.src_uri
    source = ROOT / uri if (ROOT / uri).exists() else ROOT / 'docs' / uri

    def moved(match: re.Match) -> str:
        target = target_of(source, match[1])
        if target is None or (new := uri_of(target)) is None:
            return match[1]
        return posixpath.relpath(new, posixpath.dirname(uri) or '.')

    if source.suffix == '.md':
        markdown = LINK.sub(moved, markdown)
    return markdown.replace(COMMANDS, '\n'.join(command_section(*tool) for tool in tools()))


def on_page_content(html: str, **_: object) -> str:
    """Names of classes in docstrings, which Sphinx would link."""
    return ROLE.sub(r'<code>\1</code>', html)


def nav_pages(nav: object) -> list[str]:
    """The paths in the navigation."""
    if isinstance(nav, str):
        return [nav]
    items = nav.values() if isinstance(nav, dict) else nav or []
    return [page for item in items for page in nav_pages(item)]


def target_of(source: Path, link: str) -> Path | None:
    """The file of the repository that a link leads to; None if it is a picture, or is not there."""
    target = (source.parent / link).resolve()
    if target.is_dir():
        target /= 'README.md'
    return target if target.suffix in SHOWN and target.is_file() and target.is_relative_to(ROOT) else None


def uri_of(source: Path) -> str | None:
    """Where a file of the repository is among the pages."""
    if source.is_relative_to(ROOT / 'docs'):
        return source.relative_to(ROOT / 'docs').as_posix()
    path = source.relative_to(ROOT).as_posix()
    return path if source.suffix == '.md' else f'{path}.md'


def content_of(source: Path) -> str:
    """A page: Markdown as it is, anything else as code."""
    text = source.read_text()
    if source.suffix == '.md':
        return text
    language = {'.py': 'python', '.yml': 'yaml', '.json': 'json'}.get(source.suffix, 'text')
    return f'# {source.name}\n\n`{source.relative_to(ROOT)}`\n\n````{language}\n{text}````\n'


def tools() -> list[tuple[str, Path]]:
    """What people call: names of commands and scripts, in the order of the command's list."""
    source = ast.parse((ROOT / 'mmsniper' / 'cli.py').read_text())
    names = next(
        {word.arg: word.value.value for word in node.value.keywords}
        for node in source.body
        if isinstance(node, ast.Assign) and node.targets[0].id == 'NAMES'
    )
    scripts = {path.stem: path for path in sorted((ROOT / 'tools').glob('*.py')) if "== '__main__'" in path.read_text()}
    return [(name, scripts.pop(stem)) for name, stem in names.items() if stem in scripts] + list(scripts.items())


def command_section(name: str, path: Path) -> str:
    """A tool's docstring, and a table of its options."""
    tree = ast.parse(path.read_text())
    about = (ast.get_docstring(tree) or '').splitlines()
    # Usage lines are indented, and so are code; elsewhere these characters would be links and tags.
    about = [line if line[:4] == '    ' else re.sub(r'([\[<])', r'\\\1', line) for line in about]
    lines = [f'## {name}', '', *about, '']
    options = [row for node in ast.walk(tree) if (row := option_row(node))]
    return '\n'.join(lines + (['| option | what it does |', '|---|---|', *options, ''] if options else []))


def option_row(node: ast.AST) -> str | None:
    """A row of the table, if a node of the source adds an option that is shown."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == 'add_argument'):
        return None
    given = {word.arg: word.value for word in node.keywords}
    names = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
    about = given.get('help')
    if not names or not isinstance(about, (ast.Constant, ast.JoinedStr)):
        return None
    text = about.value if isinstance(about, ast.Constant) else ast.unparse(about)[2:-1]
    return f'| `{", ".join(names)}` | {text} |'.replace('<', '&lt;')
