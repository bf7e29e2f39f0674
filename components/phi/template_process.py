"""The process that renders a chat template: one JSON object in, the text as JSON out. See template.py.

Run as a file of its own by `python -I`, so it imports nothing of this project.
"""

import json
import resource
import sys


def main() -> None:
    seconds, memory = map(int, sys.argv[1:])
    task = json.load(sys.stdin)
    from transformers.utils.chat_template_utils import render_jinja_template

    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    tokens = {name: token for name, token in task["tokens"].items() if token is not None}
    try:
        rendered, _ = render_jinja_template(
            [task["messages"]], chat_template=task["template"], add_generation_prompt=True, **tokens
        )
    except Exception as error:  # noqa: BLE001 - a template may fail in any way
        sys.exit(" ".join(f"{type(error).__name__}: {error}".split()))
    json.dump(rendered[0], sys.stdout)


if __name__ == "__main__":
    main()
