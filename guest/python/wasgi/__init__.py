"""The Python side of wasgi: PEP 3333 over the WIT package wasgi:gateway.

An application does not import this package; it is put into the component beside it. The five nouns of PEP 3333 are five files: ``environ``,
``input``, ``errors``, ``start_response`` and ``body``; ``gateway`` ties them together, and ``find`` and ``prepare`` run once, at build.
"""

__version__ = "0.1.0"
