"""Scripts: every Python tool compiles, every shell script parses, and both say what they are."""

import ast
import subprocess

import tree


def python_check(report, path):
    try:
        module = ast.parse(tree.text_of(path), path)
    except SyntaxError as error:
        report.fault(path, error.lineno or 1, f"syntax error: {error.msg}")
        return
    if not ast.get_docstring(module):
        report.fault(path, 1, "no docstring says what this is")


def shell_check(report, path):
    run = subprocess.run(["sh", "-n", path], capture_output=True, text=True)
    if run.returncode:
        report.fault(path, 1, run.stderr.strip())
    lines = tree.text_of(path).splitlines()
    if len(lines) < 2 or not lines[1].startswith("#"):
        report.fault(path, 1, "no comment says what this is")


def main():
    report = tree.Report("scripts")
    for path in tree.files(".py"):
        python_check(report, path)
    for path in tree.files(".sh"):
        shell_check(report, path)
    report.close()


if __name__ == "__main__":
    main()
