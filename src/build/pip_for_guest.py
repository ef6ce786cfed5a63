# pip, for the Python inside the guest: it judges `; python_version < "3.9"` and the like by the interpreter that runs it, which is not the
# one that the packages are for. The version of pip is pinned, so what is replaced here is known.
import sys

from pip._vendor.packaging import markers

version = sys.argv.pop(1)
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

from pip._internal.cli.main import main  # noqa: E402

sys.exit(main())
