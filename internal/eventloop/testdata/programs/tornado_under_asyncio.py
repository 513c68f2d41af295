# A Tornado application under asyncio.run(), as Tornado's documentation has it: what runs the
# loop is asyncio.
import asyncio

import tornado.ioloop
import tornado.web


async def main():
    tornado.web.Application([]).listen(0, "127.0.0.1")
    watch = Watch("idle")
    while not watch.done:
        await asyncio.sleep(0.5)
    tornado.ioloop.IOLoop.current().add_callback(here, "callback")
    tornado.ioloop.IOLoop.current().add_callback(nested, "nested")
    await asyncio.sleep(0.1)


asyncio.run(main())
here("after")
