"""Small things that libraries expect of an operating system and that WASI lacks, where an honest answer exists; and stubs for who asks."""

import collections
import os
import shutil
import sys
import types


def _disk_usage(path):
    """Of what a tenant may keep, which the host says in WASGI_DATA_BYTES. Nothing else of a guest's has a size to ask for."""
    os.stat(path)
    total, used = int(os.environ.get("WASGI_DATA_BYTES", "0")), 0
    for folder, _, files in os.walk("/data"):
        used += sum(os.lstat(f"{folder}/{name}").st_size for name in files)
    return _Usage(total, used, max(total - used, 0))


_USER = 1000
_mask = 0o022
_Usage = collections.namedtuple("usage", "total used free")


def install():
    """What costs nothing and deceives nobody."""
    if not hasattr(shutil, "disk_usage"):
        shutil.disk_usage = _disk_usage
    if not hasattr(os, "umask"):
        os.umask = _umask
    # A guest runs as nobody in particular, and not as root.
    for name in ("getuid", "geteuid", "getgid", "getegid"):
        if not hasattr(os, name):
            setattr(os, name, lambda: _USER)


def _umask(mask):
    """WASI has no permissions to mask; what is set is answered the next time."""
    global _mask
    before, _mask = _mask, mask
    return before


def _refuse(name):
    def refused(*args, **kwargs):
        raise OSError(f"{name} does not exist in a WebAssembly guest")

    return refused


def _fcntl(module):
    for number, name in enumerate(("LOCK_SH", "LOCK_EX", "LOCK_NB", "LOCK_UN")):
        setattr(module, name, 1 << number)
    module.F_GETFD, module.F_SETFD, module.F_GETFL, module.F_SETFL, module.FD_CLOEXEC = 1, 2, 3, 4, 1
    module.flock = module.lockf = lambda *args: None
    module.fcntl = lambda *args: 0
    module.ioctl = _refuse("ioctl")


def _pwd(module):
    module.struct_passwd = type("struct_passwd", (tuple,), {})
    names = ("pw_name", "pw_passwd", "pw_uid", "pw_gid", "pw_gecos", "pw_dir", "pw_shell")
    for number, name in enumerate(names):
        setattr(module.struct_passwd, name, property(lambda self, number=number: self[number]))
    user = module.struct_passwd(("wasgi", "x", _USER, _USER, "", "/tmp", ""))
    module.getpwuid = module.getpwnam = lambda key: user
    module.getpwall = lambda: [user]


def _grp(module):
    module.struct_group = type("struct_group", (tuple,), {})
    for number, name in enumerate(("gr_name", "gr_passwd", "gr_gid", "gr_mem")):
        setattr(module.struct_group, name, property(lambda self, number=number: self[number]))
    group = module.struct_group(("wasgi", "x", _USER, []))
    module.getgrgid = module.getgrnam = lambda key: group
    module.getgrall = lambda: [group]


def _ssl(module):
    module.SSLError = type("SSLError", (OSError,), {})
    module.SSLContext = module.create_default_context = module.wrap_socket = _refuse("ssl")
    module.CERT_NONE, module.CERT_OPTIONAL, module.CERT_REQUIRED, module.HAS_SNI = 0, 1, 2, False
    module.PROTOCOL_TLS = module.PROTOCOL_TLS_CLIENT = module.PROTOCOL_TLS_SERVER = 2
    module.OPENSSL_VERSION = "none"


STUBS = {"fcntl": _fcntl, "grp": _grp, "pwd": _pwd, "ssl": _ssl}


def stub(names):
    """Modules that can be imported and do little: a stub's flock() is no lock, and its ssl no TLS."""
    for name in names:
        if name not in STUBS:
            raise ValueError(f"no stub for `{name}`; there are {', '.join(STUBS)}")
        module = types.ModuleType(name, "A stub of wasgi.")
        STUBS[name](module)
        sys.modules[name] = module
