"""Set before torch is imported: idle threads that spin starve the tests beside them on a busy machine."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
