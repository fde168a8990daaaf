"""What the checks share: the files of the tree, C functions, exceptions, and how to complain.

Every check is a program of its own: run from the tree's root, it prints one `path:line: text` for
each fault and ends with status 1 if there was any. `python3 tools/check/NAME.py` runs one alone.
"""

import os
import re
import sys

SKIPPED_DIRS = {"build", "results", "__pycache__", "node_modules"}
EXCEPTIONS = "tools/check/exceptions.txt"
NOT_FUNCTIONS = re.compile(r"^(struct|enum|union|typedef)\b[^()]*\{$|=\s*\{$|^extern \"C\"")
FUNCTION_NAME = re.compile(r"([A-Za-z_]\w*)\s*\(")
KEYWORDS = {"if", "for", "while", "switch", "return", "sizeof", "defined", "__attribute__",
            "asm", "__asm__", "_Static_assert", "typeof", "alignas", "_Alignas"}


def files(*suffixes, under=("",)):
    """Paths of the tree's files, sorted; hidden directories and built things are not in it."""
    out = []
    for start in under:
        for top, dirs, names in os.walk(start or "."):
            dirs[:] = sorted(name for name in dirs
                             if name not in SKIPPED_DIRS and not name.startswith("."))
            out += [os.path.normpath(os.path.join(top, name)) for name in names
                    if not suffixes or name.endswith(suffixes)]
    return sorted(out)


def text_of(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


class Function:
    """A C function's definition: lines first..last, counted from 1."""

    def __init__(self, path, name, first, last, body):
        self.path, self.name, self.first, self.last, self.body = path, name, first, last, body

    def n_lines(self):
        return self.last - self.first + 1


def function_name(signature):
    """The name in a definition's head: the last identifier before a parameter list at depth 0."""
    depth, name = 0, None
    for found in re.finditer(r"[()]|[A-Za-z_]\w*(?=\s*\()", signature):
        token = found.group()
        if token in "()":
            depth += 1 if token == "(" else -1
        elif depth == 0 and token not in KEYWORDS and not token.isupper():
            name = token
    return name


def functions(path):
    """Every function of a formatted C file: its head starts in column 0, its `}` stands there."""
    lines, head, start, out = text_of(path).splitlines(), [], None, []
    for number, line in enumerate(lines, 1):
        if start is None:
            if re.match(r"[A-Za-z_]", line) and not (head and not head[-1].endswith((";", "}"))
                                                     and head[-1].startswith("#")):
                if not head or head[-1].rstrip().endswith((";", "}", ":")):
                    head, head_at = [], number
                head.append(line)
            elif head and line.startswith((" ", "\t")):
                head.append(line)
            else:
                head = []
            if head and line.endswith("{"):
                start = None if NOT_FUNCTIONS.search(" ".join(head)) else head_at
                head_text, head = " ".join(head), []
        elif line == "}":
            name = function_name(head_text)
            if name:
                out.append(Function(path, name, start, number, "\n".join(lines[start - 1:number])))
            start = None
    return out


def exceptions(check):
    """{subject: reason} of the exceptions granted to a check."""
    out = {}
    for number, line in enumerate(text_of(EXCEPTIONS).splitlines(), 1):
        if not line or line.startswith(("#", "at-most ")):
            continue
        found = re.fullmatch(r"(\S+) (\S+) -- (.+)", line)
        if not found:
            sys.exit(f"{EXCEPTIONS}:{number}: expected `check subject -- reason`")
        if found.group(1) == check:
            out[found.group(2)] = found.group(3)
    return out


class Report:
    """Collects faults; close() prints them and ends the program."""

    def __init__(self, check):
        self.check = check
        self.faults = []
        self.granted = exceptions(check)
        self.used = set()

    def fault(self, path, line, text, subject=None):
        """One fault, unless `subject` (default: the path) has an exception."""
        subject = subject or path
        if subject in self.granted:
            self.used.add(subject)
        else:
            self.faults.append(f"{path}:{line}: {text}")

    def close(self):
        for subject in sorted(set(self.granted) - self.used):
            self.faults.append(f"{EXCEPTIONS}:1: exception for {subject} is not needed any more")
        for fault in self.faults:
            print(fault)
        sys.exit(1 if self.faults else 0)
