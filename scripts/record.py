#!/usr/bin/env python3
"""Writes the figures of a run into a section of a document: record.py DOCUMENT SECTION LOG

A figure is a line of the log that begins with `figure: `. The section is what stands between the lines
`<!-- begin SECTION -->` and `<!-- end SECTION -->`; a document without it gets it at its end.
"""

import datetime
import os
import pathlib
import platform
import sys


def main() -> int:
    document, section, log = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
    figures = [
        line.removeprefix("figure: ")
        for line in log.read_text(errors="replace").splitlines()
        if line.startswith("figure: ")
    ]
    if not figures:
        figures = [log.read_text(errors="replace").strip().splitlines()[-1]]
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    body = "\n".join(
        [f"Run on {datetime.date.today().isoformat()}, {machine}.", ""] + [f"- {figure}" for figure in figures]
    )
    begin, end = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    text = document.read_text() if document.exists() else "# Measurements\n"
    if begin in text and end in text:
        text = text[: text.index(begin)] + f"{begin}\n{body}\n" + text[text.index(end) :]
    else:
        text = text.rstrip() + f"\n\n## {section.capitalize()}\n\n{begin}\n{body}\n{end}\n"
    document.write_text(text)
    print(f"{document}: section {section} holds {len(figures)} figures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
