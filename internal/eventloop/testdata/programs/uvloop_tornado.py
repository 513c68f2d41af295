import asyncio

import tornado.ioloop
import uvloop

asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())


async def main():
    watch = Watch("idle")
    while not watch.done:
        await asyncio.sleep(0.5)
    here("callback")
    nested("nested")


async def prepare():
    tornado.ioloop.IOLoop.current().add_callback(finish)


async def finish():
    await main()
    tornado.ioloop.IOLoop.current().stop()


asyncio.set_event_loop(asyncio.new_event_loop())
loop = tornado.ioloop.IOLoop.current()
loop.add_callback(finish)
loop.start()
