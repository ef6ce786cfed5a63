"""Runs dulwich's own tests of its web server, with git as the client, against dulwich.web in the sandbox.

Arguments: the program wasgi, the built file, and the unpacked source distribution of dulwich. Nothing of the suite is changed but where its
server runs.
"""

import re
import subprocess
import sys
import unittest

program, app, source = sys.argv[1:]
sys.path.insert(0, source)

from tests.compat import test_web  # noqa: E402


class Sandboxed(test_web.SmartWebSideBand64kNoDoneTestCase):
    """The case that leaves the server's handlers as they are."""

    def _start_server(self, repo):
        command = [program, "serve", app, "--bind", "127.0.0.1:0", "--data", repo.path, "--tenant", "dulwich-suite", "--max-body", "1GiB"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        self.addCleanup(server.stdout.close)
        return int(re.match(r"ready  http://127.0.0.1:(\d+)", server.stdout.readline()).group(1))


del test_web.SmartWebSideBand64kNoDoneTestCase
result = unittest.TextTestRunner(verbosity=2).run(unittest.defaultTestLoader.loadTestsFromTestCase(Sandboxed))
print(f"ran {result.testsRun}, failed {len(result.failures) + len(result.errors)}, skipped {len(result.skipped)}")
sys.exit(not result.wasSuccessful() or result.testsRun < 10)
