"""What child processes of the storage tests run."""

HOLD = """
import sys, time
from pathlib import Path
from cloister.foundation.errors import Conflict
from cloister.storage.database import Database
from cloister.storage.settings import Settings
try:
    database = Database.open(Path(sys.argv[1]))
except Conflict:
    print("Conflict")
    sys.exit()
with database.transaction() as tx:
    Settings(tx).put("number", 1)
with database.transaction() as tx:
    Settings(tx).put("number", 2)
    print("committed 1, writing 2", flush=True)
    time.sleep(120)
"""
