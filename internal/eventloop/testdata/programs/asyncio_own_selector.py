import asyncio
import selectors


class Counting(selectors.DefaultSelector):
    def select(self, timeout=None):
        return super().select(timeout)


async def main():
    watch = Watch("idle")
    while not watch.done:
        await asyncio.sleep(0.5)
    here("callback")


loop = asyncio.SelectorEventLoop(Counting())
loop.run_until_complete(main())
loop.close()
