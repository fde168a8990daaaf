"""Shape: functions of at most 60 lines, files of at most 600, no conditional compilation in .c
files, lines of at most 100 columns, and no more exceptions than exceptions.txt allows itself."""

import re

import tree

FUNCTION_LINES = 60
FILE_LINES = 600
COLUMNS = 100
COLUMNS_TABLE = 240  # rows of .def tables stand on one line each
SOURCES = (".c", ".h", ".asm", ".inc", ".def", ".py", ".sh", ".mk")
CONDITIONAL = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif|else)\b")


def file_check(report, path):
    lines = tree.text_of(path).splitlines()
    most = COLUMNS_TABLE if path.endswith(".def") else COLUMNS
    if len(lines) > FILE_LINES:
        report.fault(path, len(lines), f"file of {len(lines)} lines, at most {FILE_LINES}")
    for number, line in enumerate(lines, 1):
        if len(line) > most:
            report.fault(path, number, f"line of {len(line)} columns, at most {most}")
        if line != line.rstrip():
            report.fault(path, number, "space at the end of the line")
        if path.endswith(".c") and CONDITIONAL.match(line):
            report.fault(path, number, "conditional compilation in a .c file")


def functions_check(report, path):
    for function in tree.functions(path):
        if function.n_lines() > FUNCTION_LINES:
            report.fault(path, function.first, f"{function.name}() has {function.n_lines()} lines, "
                         f"at most {FUNCTION_LINES}", f"{path}:{function.name}")


def bound_check(report):
    text = tree.text_of(tree.EXCEPTIONS)
    bound = int(re.search(r"^at-most (\d+)$", text, re.M).group(1))
    count = len(re.findall(r"^\S+ \S+ -- ", text, re.M))
    if count > bound:
        report.fault(tree.EXCEPTIONS, 1, f"{count} exceptions, at most {bound}")


def main():
    report = tree.Report("shape")
    for path in tree.files(*SOURCES, "Makefile"):
        file_check(report, path)
        if path.endswith((".c", ".h")):
            functions_check(report, path)
    bound_check(report)
    report.close()


if __name__ == "__main__":
    main()
