"""The README's figures against the committed runs in results/: bench/host/figures.py says which."""

import os
import sys

import tree

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench",
                                "host"))
import figures  # pylint: disable=wrong-import-position

README, RESULTS = "README.md", "results"


def main():
    report = tree.Report("figures")
    for number, text in figures.faults_of(README, RESULTS):
        report.fault(README, number, text)
    report.close()


if __name__ == "__main__":
    main()
