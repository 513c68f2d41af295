import curio


async def main():
    watch = Watch("idle")
    while not watch.done:
        await curio.sleep(0.5)
    here("callback")
    nested("nested")


curio.run(main)
here("after")
