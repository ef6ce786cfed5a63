"""Uploads a package to an index with twine, and installs it from there with pip, as a person would.

Arguments: the index' address, and a folder to work in.
"""

import pathlib
import subprocess
import sys
import zipfile

address, folder = sys.argv[1], pathlib.Path(sys.argv[2])
python = [sys.executable, "-I", "-m"]
wheel = folder / "walked-1.0-py3-none-any.whl"
with zipfile.ZipFile(wheel, "w") as archive:
    archive.writestr("walked.py", "ANSWER = 42\n")
    archive.writestr("walked-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: walked\nVersion: 1.0\n")
    archive.writestr("walked-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: walk\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    archive.writestr("walked-1.0.dist-info/RECORD", "walked.py,,\nwalked-1.0.dist-info/METADATA,,\nwalked-1.0.dist-info/WHEEL,,\nwalked-1.0.dist-info/RECORD,,\n")
upload = ["twine", "upload", "--non-interactive", "--disable-progress-bar", "--repository-url", f"{address}/", "-u", "a", "-p", "b", str(wheel)]
subprocess.run(python + upload, check=True)
install = ["pip", "install", "--quiet", "--no-cache-dir", "--index-url", f"{address}/simple/", "--target", str(folder / "site"), "walked"]
subprocess.run(python + install, check=True)
print((folder / "site/walked.py").read_text(), end="")
