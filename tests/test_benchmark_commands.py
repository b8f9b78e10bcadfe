"""Commands of benchmarks that the documents and the results quote: are they still understood?"""

import argparse
import importlib
import re
import shlex
import sys

import pytest

from benchmark_cases import FOLDER, benchmark_modules, optional

ROOT = FOLDER.parent
# to the end of the line, of what is quoted, or of the command
_COMMAND = re.compile(r"python benchmarks/(\w+)\.py((?:\\\n|[^\n`;#\"])*)")
# of docstrings and comments in which formats, or options in brackets, stand for a value
_OPEN = re.compile(r"[{\[]")


def _texts():
    """Documents, modules and scripts of the benchmarks, and the comments above their tables."""
    folders = ("", "tutorials/**/", "pretrained/")
    kinds = (*[f"{folder}*.rst" for folder in folders], "benchmarks/*.py", "benchmarks/*.sh")
    for pattern in kinds:
        yield from ((path, path.read_text(encoding="utf-8")) for path in ROOT.glob(pattern))
    for path in FOLDER.glob("results/**/*.csv"):
        with open(path, encoding="utf-8") as file:
            yield path, file.readline()


def find_commands(text):
    """Find names of benchmarks and their options in a text."""
    for name, options in _COMMAND.findall(text):
        if not _OPEN.search(options):
            yield name, tuple(shlex.split(options.replace("\\\n", " ")))


def _all_commands():
    found = {}
    for path, text in _texts():
        for command in find_commands(text):
            found.setdefault(command, path.relative_to(ROOT).as_posix())
    return [pytest.param(*c, id=f"{p}-{' '.join((c[0], *c[1]))}") for c, p in found.items()]


class _Understood(Exception):
    """The options were parsed, they are what it holds: nothing else is to run."""


def understand(name, options, monkeypatch):
    """Parse the options of a benchmark as it does when it runs; SystemExit where it can't.

    Returns the module and what it made of the options.
    """
    parse = argparse.ArgumentParser.parse_args

    def parse_only(parser, *args, **kwargs):
        raise _Understood(parse(parser, *args, **kwargs))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *options])
    with benchmark_modules(), optional(name):
        module = importlib.import_module(name)
        with pytest.raises(_Understood) as understood:
            module.main()
    return module, understood.value.args[0]


@pytest.mark.parametrize(("name", "options"), _all_commands())
def test_commands_are_understood(name, options, monkeypatch):
    """A reader can run what is quoted."""
    understand(name, options, monkeypatch)


def test_misquoted_commands_are_noticed(monkeypatch, capsys):
    """Commands go on in the next line; an option that is not there is found."""
    text = "python benchmarks/paper.py --minutes 4 \\\n    --no-such-option 3  # so\n``"
    (command,) = find_commands(text)
    assert command == ("paper", ("--minutes", "4", "--no-such-option", "3"))
    with pytest.raises(SystemExit):
        understand(*command, monkeypatch)
    assert "--no-such-option" in capsys.readouterr().err


def test_commands_are_found():
    """Of documents, modules, scripts and tables."""
    kinds = {path.suffix for path, text in _texts() if any(find_commands(text))}
    assert kinds == {".rst", ".py", ".sh", ".csv"}


def test_trainings_of_the_page_do_not_meet(monkeypatch):
    """One folder holds one run: another configuration there would end the page's command."""
    script = (FOLDER / "paper_page.sh").read_text(encoding="utf-8")
    runs = {}
    for name, options in find_commands(script):
        with monkeypatch.context() as patch:
            paper, args = understand(name, options, patch)
        if not getattr(args, "train_only", False):
            continue
        config = paper.make_config(args)
        trial = (args.learning_rate_factor, config.pretraining)
        for method in args.methods:
            for kind in args.kinds:
                place = paper.run_directory(args.root, method, kind, *trial, seed=args.seed)
                assert place not in runs, (place, options)
                runs[place] = config
    assert len(runs) > 30
