from .handlers import load


def _jupyter_server_extension_points():
    return [{"module": "shop"}]


_load_jupyter_server_extension = load
