SECRET_KEY = "x"
ROOT_URLCONF = "urls"
ALLOWED_HOSTS = ["*"]
MIDDLEWARE = ["middleware.slow"]
INSTALLED_APPS = ["channels"]
ASGI_APPLICATION = "asgi.application"
