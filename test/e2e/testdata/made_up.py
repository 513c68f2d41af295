"""An event loop of an interpreter that says of itself that it is laid out in a way of its own: the argument tells which."""
import asyncio
import ctypes
import sys

# Which of the numbers behind the cookie of _Py_DebugOffsets is the size of code objects; the offsets of their fields follow.
FIELDS = {13: 33, 14: 38, 15: 46}

number = int(sys.argv[1])
code = FIELDS[sys.version_info[1]]
runtime = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
offsets = (ctypes.c_uint64 * 128).from_address(runtime + 8)
assert 100 < offsets[code] < 500, "the size of a code object"
offsets[code + 1] = 8 * (number % 20)  # filename
offsets[code + 5] = 4 * (number // 20)  # firstlineno


async def main():
    print("ready", flush=True)
    while True:
        await asyncio.sleep(0.05)


asyncio.run(main())
