"""Ends where it has no business to: without end. The interpreter raises, in time."""


def deep_trouble(number):
    return deep_trouble(number + 1) + 1


def application(environ, start_response):
    return [str(deep_trouble(0)).encode()]
