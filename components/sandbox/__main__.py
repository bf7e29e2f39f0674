"""What this machine offers to isolate programs with: `python -m components.sandbox`.

Exit status 0: generated code is isolated here. 1: it is not, and the sandbox refuses to run it.
"""

import argparse
import sys


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m components.sandbox",
        description="Show what isolates generated code on this machine, by trying it.",
    )
    parser.parse_args()
    from components.sandbox.report import report

    text, isolated = report()
    print(text)
    sys.exit(0 if isolated else 1)


if __name__ == "__main__":
    main()
