"""Builds the C tools of Benchmarks/tools into .cache/tools, when their sources are newer."""

import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def build(name):
    """The path of the built tool."""
    sources = ROOT / "Benchmarks" / "tools"
    binary = ROOT / ".cache" / "tools" / name
    newest = max(path.stat().st_mtime for path in [sources / f"{name}.c", *sources.glob("*.h")])
    if not binary.exists() or binary.stat().st_mtime < newest:
        binary.parent.mkdir(parents=True, exist_ok=True)
        compiler = next(path for path in map(shutil.which, ("cc", "clang", "gcc")) if path)
        subprocess.run(
            [compiler, "-O2", "-Wall", "-o", str(binary), str(sources / f"{name}.c"), "-lpthread"], check=True
        )
    return str(binary)
