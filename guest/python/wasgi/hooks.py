"""Changes to modules of the standard library, made when an application imports them and not before."""

import sys
from importlib.machinery import PathFinder

_wanted = {}


class _Loader:
    """A module's own loader, and then the change."""

    def __init__(self, loader, change):
        self._loader, self._change = loader, change

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        module.__spec__.loader = module.__loader__ = self._loader
        self._change(module)

    def __getattr__(self, name):
        return getattr(self._loader, name)


class _Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        change = _wanted.get(name)
        if change is None:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, change)
        return spec


def after_import(name, change):
    """Calls ``change(module)`` once the module ``name`` is imported; now, if it is."""
    module = sys.modules.get(name)
    if module is not None:
        change(module)
        return
    _wanted[name] = change
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
