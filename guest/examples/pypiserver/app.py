"""pypiserver, a package index, whole and unedited, over the folder that it is given."""

import os

import pypiserver

os.makedirs("/data/packages", exist_ok=True)

app = pypiserver.app(roots=["/data/packages"], authenticate=[], password_file=".", overwrite=True, disable_fallback=True)
