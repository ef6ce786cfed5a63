# pip, for the Python inside the guest. The version of pip is pinned, so what is replaced here is known.
#
# It judges `; python_version < "3.9"` and the like by the interpreter that runs it, which is not the one that the packages are for. And
# options in a requirements file override those of the command line, so that `--only-binary` alone does not keep it from running the code of
# a source distribution: here it cannot.
import sys

from pip._internal.distributions.sdist import SourceDistribution
from pip._internal.exceptions import InstallationError
from pip._internal.operations import prepare
from pip._vendor.packaging import markers

version, sources = sys.argv.pop(1), sys.argv.pop(1)
default = markers.default_environment
guest = {
    "implementation_name": "cpython",
    "implementation_version": f"{version}.0",
    "os_name": "posix",
    "platform_machine": "wasm32",
    "platform_release": "",
    "platform_system": "wasi",
    "platform_version": "",
    "python_full_version": f"{version}.0",
    "python_version": version,
    "sys_platform": "wasi",
}
markers.default_environment = lambda: {**default(), **guest}


def refuse(what):
    raise InstallationError(f"refused by wasgi: {what}")


if sources != "allowed":
    SourceDistribution.prepare_distribution_metadata = lambda self, *args, **kwargs: refuse(self.req.link or self.req)
    prepare.unpack_vcs_link = lambda link, *args, **kwargs: refuse(link)

from pip._internal.cli.main import main  # noqa: E402

sys.exit(main())
