"""Housekeeping again and again until a file appears, as a process of its own: prints what each pass removed, as JSON.

python always.py FILE
"""

import json
import random
import sys
import time
from pathlib import Path

from flows import settings
from flows.housekeeping import tidy

settings.configure(settings.project_root())
while not Path(sys.argv[1]).exists():
    print(json.dumps(tidy(settings.project_root()).freed), flush=True)
    time.sleep(random.uniform(0, 2))  # without a rest it would hold DVC's locks nearly all the time
