"""`python -m components.sandbox`: the isolation of generated code on this machine.

The exit status is 0 if generated code is isolated here, and 1 if the sandbox refuses to run it.
"""

import argparse
import sys


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m components.sandbox",
        description="Show, by a test, how generated code is isolated on this machine.",
    )
    parser.parse_args()
    from components.sandbox.report import report

    text, isolated = report()
    print(text)
    sys.exit(0 if isolated else 1)


if __name__ == "__main__":
    main()
