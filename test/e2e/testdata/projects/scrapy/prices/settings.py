BOT_NAME = "prices"
SPIDER_MODULES = ["prices.spiders"]
ITEM_PIPELINES = {"prices.pipelines.Store": 300}
TELNETCONSOLE_ENABLED = False
