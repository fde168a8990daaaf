"""Include direction: a folder of the kernel includes its own headers and the public headers of
lower ranks, written with the folder; user/ and bench/ know abi/ and lib/ of the kernel only."""

import os
import re

import tree

RANKS = {"abi": 0, "lib": 1, "arch": 2, "base": 3, "sched": 4, "mm": 5, "proc": 6, "scheme": 7,
         "syscall": 8}
SHARED = ("abi", "lib")
FREESTANDING = {"stdint.h", "stddef.h", "stdbool.h", "stdarg.h", "stdatomic.h", "stdalign.h",
                "stdnoreturn.h", "limits.h", "float.h"}
HOSTED = ("kernel/lib/tap.h",)
INCLUDE = re.compile(r'^\s*[#%]\s*include\s+([<"])([^>"]+)[>"]')


def includes(path):
    for number, line in enumerate(tree.text_of(path).splitlines(), 1):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1) == "<", found.group(2)


def kernel_fault(path, folder, angled, name):
    """What is wrong with one include of a kernel file, or None."""
    is_host = path.endswith("_test.c") or path in HOSTED
    if angled:
        return None if is_host or name in FREESTANDING else f"<{name}> is not freestanding"
    target = name.split("/")[0]
    if "/" not in name:
        return None if name.endswith((".inc", ".def")) else f'"{name}" must name its folder'
    if target not in RANKS:
        return f'"{name}" is outside the kernel\'s folders'
    if folder is None:
        return None
    if RANKS[target] > RANKS[folder]:
        return f"{folder} (rank {RANKS[folder]}) includes {target} (rank {RANKS[target]}) above it"
    if target != folder and name.endswith("_priv.h"):
        return f'"{name}" is private to {target}'
    if target == "arch" and folder != "arch" and name.count("/") > 1:
        return f'"{name}" is private to the architecture'
    return None


def user_fault(path, angled, name):
    if angled:
        return None
    target = name.split("/")[0]
    if target in RANKS and target not in SHARED and not os.path.exists(
            os.path.join(os.path.dirname(path), name)):
        return f'"{name}": only abi/ and lib/ of the kernel are shared with programs'
    if "kernel/" in name:
        return f'"{name}": the kernel\'s headers are included as abi/... and lib/...'
    return None


def main():
    report = tree.Report("includes")
    for path in tree.files(".c", ".h", ".asm", ".inc", ".def", under=("kernel", "user", "bench")):
        parts = path.split("/")
        folder = parts[1] if len(parts) > 2 else None
        for number, angled, name in includes(path):
            if parts[0] == "kernel":
                name = name.removeprefix("kernel/") if path.endswith(".asm") else name
                text = kernel_fault(path, folder, angled, name)
            else:
                text = user_fault(path, angled, name)
            if text:
                report.fault(path, number, text)
    report.close()


if __name__ == "__main__":
    main()
