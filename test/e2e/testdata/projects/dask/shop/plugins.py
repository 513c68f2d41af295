import asyncio
import time

import planted
from distributed.diagnostics.plugin import SchedulerPlugin


class Count(SchedulerPlugin):
    async def start(self, scheduler):
        self.task = asyncio.ensure_future(self.beat())

    async def beat(self):
        while not planted.watched():
            await asyncio.sleep(0.1)
        for _ in range(2):
            await asyncio.sleep(0.5)
            self.flush()

    def flush(self):
        begun = planted.begin()
        time.sleep(planted.SECONDS)
        planted.end(begun, "sleep")


async def dask_setup(scheduler):
    plugin = Count()
    scheduler.add_plugin(plugin)
    await plugin.start(scheduler)
