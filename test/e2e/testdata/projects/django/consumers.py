import time

import planted
from channels.generic.websocket import AsyncWebsocketConsumer


class Chat(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        if text_data == "block":
            begun = planted.begin()
            time.sleep(planted.SECONDS)
            planted.end(begun, "sleep")
        await self.send(text_data=text_data)
