"""dulwich.web, a git server in pure Python, whole and unedited, over the repositories in the folder that it is given."""

import os

from dulwich.errors import NotGitRepository
from dulwich.repo import Repo
from dulwich.server import Backend
from dulwich.web import make_wsgi_chain


class Folder(Backend):
    def open_repository(self, path):
        # The folder itself may be a repository, or its folders are.
        name = os.fsdecode(path).strip("/")
        if "/" in name or name.startswith("."):
            raise NotGitRepository(path)
        return Repo(os.path.join("/data", name))


app = make_wsgi_chain(Folder())
