"""Python in a process of its own."""

import subprocess
import sys


def run_python(*argv, **options):
    """Run Python with some arguments; return what it printed. If it fails, the test does."""
    command = [sys.executable, *map(str, argv)]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout
