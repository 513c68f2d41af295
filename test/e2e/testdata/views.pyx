# SPDX-License-Identifier: Apache-2.0
# cython: language_level=3
# Functions that compute for as long as they are told to, all of it in code that Cython makes of them.
from time import monotonic


def price_list(double end):
    cdef double x = 1
    cdef long n
    while monotonic() < end:
        for n in range(1000000): x = x * 1.0000001 + n
    return x


class Page:
    def render(self, double end):
        cdef double x = 1
        cdef long n
        while monotonic() < end:
            for n in range(1000000): x = x * 1.0000001 + n
        return x


cdef class Cart:
    cpdef double total(self, double end):
        cdef double x = 1
        cdef long n
        while monotonic() < end:
            for n in range(1000000): x = x * 1.0000001 + n
        return x


def outer(double end):
    def nested():
        cdef double x = 1
        cdef long n
        while monotonic() < end:
            for n in range(1000000): x = x * 1.0000001 + n
        return x
    return nested()


def rows(double end):
    cdef double x = 1
    cdef long n
    while monotonic() < end:
        for n in range(1000000): x = x * 1.0000001 + n
    yield x
