"""Documents against code. In every .md file of the tree:

  `name()`            a function or macro of that name is in the code
  [M3]                that invariant is named in the code too
  `kernel/mm/x.c`     that file exists
  `make target`       that target exists
  ```calls            a call stack: each line `name()  anything`, indented under its caller, whose
                      body must name it; `~ name()` is reached through a table or an interrupt, and
                      need only exist
"""

import os
import re

import tree

CODE = (".c", ".h", ".asm", ".inc", ".def", ".py", ".sh", ".ld")
GATES = "tools/gates.py"  # speaks of what does not exist, on purpose
CALL = re.compile(r"`([A-Za-z_]\w*)\(\)`")
TAG = re.compile(r"\[([A-Z]{1,2}\d{1,2})\](?!\()")
FILE = re.compile(r"`((?:kernel|user|bench|tools|docs)/[\w./-]*\w)`")
TARGET = re.compile(r"`make ([a-z][a-z-]*)")
STACK_LINE = re.compile(r"^( *)(~ ?)?([A-Za-z_]\w*)\(\)")


class Code:
    """Everything the documents may speak about."""

    def __init__(self):
        self.words, self.tags, self.bodies = set(), set(), {}
        for path in tree.files(*CODE):
            if path == GATES:
                continue
            text = tree.text_of(path)
            self.words.update(re.findall(r"[A-Za-z_]\w*", text))
            self.tags.update(TAG.findall(text))
            if path.endswith((".c", ".h")):
                for function in tree.functions(path):
                    self.bodies.setdefault(function.name, []).append(function.body)
            elif path.endswith(".asm"):
                self.labels_add(text)
        makefiles = "".join(map(tree.text_of, tree.files("Makefile", ".mk")))
        self.targets = set(re.findall(r"^([a-z][\w-]*):", makefiles, re.M))

    def labels_add(self, text):
        """An assembly routine reaches from its label to the next one in column 0."""
        for part in re.split(r"^(?=[a-z_]\w*:)", text, flags=re.M):
            name = re.match(r"([a-z_]\w*):", part)
            if name:
                self.bodies.setdefault(name.group(1), []).append(part)

    def calls(self, caller, callee):
        pattern = re.compile(rf"\b{callee}\b")
        return any(pattern.search(body) for body in self.bodies.get(caller, ()))


def line_check(report, code, path, number, line):
    for name in CALL.findall(line):
        if name not in code.words:
            report.fault(path, number, f"{name}() is not in the code")
    for tag in TAG.findall(line):
        if tag not in code.tags:
            report.fault(path, number, f"invariant [{tag}] is not in the code")
    for name in FILE.findall(line):
        if not os.path.exists(name) and "*" not in name:
            report.fault(path, number, f"{name} does not exist")
    for target in TARGET.findall(line):
        if target not in code.targets:
            report.fault(path, number, f"there is no target {target}")


def stack_check(report, code, path, lines):
    """One call stack; `lines` are (number, text)."""
    callers = []
    for number, line in lines:
        found = STACK_LINE.match(line)
        if not found:
            if line.strip() and not line.strip().startswith("#"):
                report.fault(path, number, "a line of a call stack is `name()  text`")
            continue
        indent, indirect, name = len(found.group(1)), found.group(2), found.group(3)
        callers = [caller for caller in callers if caller[0] < indent]
        if name not in code.bodies:
            report.fault(path, number, f"{name}() is not defined in the code")
        elif callers and not indirect and not code.calls(callers[-1][1], name):
            report.fault(path, number, f"{callers[-1][1]}() does not call {name}()")
        callers.append((indent, name))


def document_check(report, code, path):
    stack = None
    for number, line in enumerate(tree.text_of(path).splitlines(), 1):
        if stack is not None:
            if line.startswith("```"):
                stack_check(report, code, path, stack)
                stack = None
            else:
                stack.append((number, line))
        elif line.startswith("```calls"):
            stack = []
        else:
            line_check(report, code, path, number, line)


def main():
    report, code = tree.Report("docs"), Code()
    for path in tree.files(".md"):
        document_check(report, code, path)
    report.close()


if __name__ == "__main__":
    main()
