"""Generated documents: docs/abi.md and docs/tuning.md are what the tables of kernel/abi say."""

import subprocess
import sys

if __name__ == "__main__":
    sys.exit(subprocess.run([sys.executable, "tools/abidoc.py", "--check"]).returncode)
