"""``hashlib.pbkdf2_hmac`` and ``hashlib.scrypt``, computed by the host: the guest's Python has no OpenSSL."""

import hashlib

from componentize_py_types import Err
from wit_world.imports import hashing as host


def _text(name, value):
    try:
        return bytes(memoryview(value)).decode("latin-1")
    except TypeError:
        raise TypeError(f"{name}: a bytes-like object is required, not '{type(value).__name__}'") from None


def _whole(name, value, least, most=0xFFFFFFFF):
    if not isinstance(value, int):
        raise TypeError(f"'{type(value).__name__}' object cannot be interpreted as an integer")
    if value < least:
        raise ValueError(f"{name} must be at least {least}")
    if value > most:
        raise OverflowError(f"{name} is too large")
    return value


def pbkdf2_hmac(hash_name, password, salt, iterations, dklen=None):
    """Password based key derivation function 2 (PKCS #5 v2.0), with HMAC."""
    if not isinstance(hash_name, str):
        raise TypeError("hash_name must be str")
    iterations = _whole("iterations", iterations, 1)
    digest = hash_name.lower().replace("-", "")
    length = hashlib.new(digest).digest_size if dklen is None else _whole("dklen", dklen, 1)
    wrong = None
    try:
        return host.pbkdf2_hmac(digest, _text("password", password), _text("salt", salt), iterations, length)
    except Err as err:
        wrong = err.value
    raise ValueError(wrong)


def scrypt(password, *, salt, n, r, p, maxmem=0, dklen=64):
    """The scrypt password-based key derivation function (RFC 7914)."""
    n, r, p, dklen = _whole("n", n, 2), _whole("r", r, 1), _whole("p", p, 1), _whole("dklen", dklen, 1)
    maxmem = _whole("maxmem", maxmem, 0, 0x7FFFFFFF)
    wrong = None
    try:
        return host.scrypt(_text("password", password), _text("salt", salt), n, r, p, maxmem, dklen)
    except Err as err:
        wrong = err.value
    raise ValueError(wrong)


def install():
    """Puts both where code looks for them."""
    for function in (pbkdf2_hmac, scrypt):
        function.__module__ = "hashlib"
        setattr(hashlib, function.__name__, function)
