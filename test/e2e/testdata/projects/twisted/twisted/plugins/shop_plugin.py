from twisted.application.service import ServiceMaker

shop = ServiceMaker("shop", "shop.service", "the shop", "shop")
