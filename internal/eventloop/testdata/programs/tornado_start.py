import asyncio

import tornado.ioloop


async def main():
    watch = Watch("idle")
    while not watch.done:
        await asyncio.sleep(0.5)
    here("callback")
    nested("nested")
    tornado.ioloop.IOLoop.current().stop()


asyncio.set_event_loop(asyncio.new_event_loop())
loop = tornado.ioloop.IOLoop.current()
loop.add_callback(main)
loop.start()
here("after")


async def again():
    nested("nested")


loop.run_sync(again)
