import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

import consumers

application = ProtocolTypeRouter({"http": django, "websocket": URLRouter([path("chat", consumers.Chat.as_asgi())])})
