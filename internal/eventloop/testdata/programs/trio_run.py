import trio


async def main():
    watch = Watch("idle")
    while not watch.done:
        await trio.sleep(0.5)
    here("callback")
    nested("nested")


trio.run(main)
here("after")
