import sys
import time

import planted
import tornado.ioloop
import tornado.web
import tornado.websocket


class Index(tornado.web.RequestHandler):
    def get(self):
        self.write("hello")


class Nap(tornado.web.RequestHandler):
    def prepare(self):
        begun = planted.begin()
        time.sleep(planted.SECONDS)
        planted.end(begun, "sleep")

    async def get(self):
        self.write("1")


class Rows(tornado.web.RequestHandler):
    async def get(self):
        self.render("rows.html", total=self.total)

    def total(self):
        begun = planted.begin()
        end = time.thread_time() + planted.SECONDS
        while time.thread_time() < end:
            for n in range(10000): n * n
        planted.end(begun, "cpu")
        return 1


app = tornado.web.Application([("/", Index), ("/nap", Nap), ("/rows", Rows)], template_path=__file__.rpartition("/")[0])

if __name__ == "__main__":
    app.listen(int(sys.argv[1]), "127.0.0.1")
    tornado.ioloop.IOLoop.current().start()
