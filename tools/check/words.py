"""Words that must not be in the tree: paths of somebody's machine, hosts of package archives,
notes to oneself, names of authors, and what wrote the text."""

import re

import tree

WORDS = (
    (re.compile(r"(?<![\w.$}])/(work|home|root|Users)/(?!user\b)\w{3}"), "a machine's path"),
    (re.compile(r"\b(deb|snapshot|security)\.debian\.org\b|\bpypi\.org\b"), "host of an archive"),
    (re.compile(r"\b(TODO|FIXME|XXX|HACK)\b"), "note to oneself: put it into an issue"),
    (re.compile(r"@author\b|\bAuthors?:|^\W*Written by\b", re.I), "name of an author"),
    (re.compile(r"\b(claude|anthropic|chatgpt|openai|copilot|language model|ai assistant)\b", re.I),
     "what wrote the text"),
)
OURSELVES = "tools/check/words.py"


def main():
    report = tree.Report("words")
    for path in tree.files():
        if path == OURSELVES or path.endswith((".png", ".svg")):
            continue
        for number, line in enumerate(tree.text_of(path).splitlines(), 1):
            for pattern, what in WORDS:
                found = pattern.search(line)
                if found:
                    report.fault(path, number, f"{what}: {found.group()!r}")
    report.close()


if __name__ == "__main__":
    main()
