#!/usr/bin/env python3
"""A metadata service in a few lines: tells whoever asks who vtepd says that he is.

  metadata_proxy.py --socket /run/vtepd/api.sock [--listen ADDRESS] [--port PORT]

A real one would look the instance up by the port and answer with what belongs to it. Here the answer is vtepd's own entry:
the port, its network, its MAC and its addresses. It is asked for with each question: a name may be another's tomorrow.
"""

import argparse
import http.client
import http.server
import json
import socket


class Api(http.client.HTTPConnection):
    """The API of vtepd over its Unix socket."""

    def __init__(self, path):
        super().__init__("vtepd", timeout=5)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def asker(self, address):
        """The entry of an address of the metadata range; None if it stands for nobody."""
        self.request("GET", f"/v1/metadata?address={address}")
        items = json.load(self.getresponse())["items"]
        return items[0] if items else None


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        api = Api(self.server.socket_path)
        try:
            asker = api.asker(self.client_address[0])
        except (OSError, KeyError, ValueError) as error:
            self.send_error(503, str(error))
            return
        finally:
            api.close()
        if asker is None:
            self.send_error(404, "nobody is known by this address")
            return
        body = json.dumps(asker).encode() + b"\n"
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--socket", required=True, help="of vtepd's API")
    parser.add_argument("--listen", default="0.0.0.0", help="address to listen on")
    parser.add_argument("--port", type=int, default=80, help="port to listen on")
    options = parser.parse_args()
    server = http.server.ThreadingHTTPServer((options.listen, options.port), Handler)
    server.socket_path = options.socket
    server.serve_forever()


if __name__ == "__main__":
    main()
