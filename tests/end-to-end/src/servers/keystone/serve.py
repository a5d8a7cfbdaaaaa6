"""PORT: serves Keystone. One process, so that who kills it has killed all of it; a gunicorn's worker would outlive it."""

import sys

port = int(sys.argv[1])
# oslo.config would take the rest for options of its own.
sys.argv = sys.argv[:1]

from keystone.wsgi.api import application
from werkzeug.serving import WSGIRequestHandler, make_server


class Handler(WSGIRequestHandler):
    # Head and body are two writes, and the second would wait 40 ms for the first one's acknowledgement.
    disable_nagle_algorithm = True


make_server("127.0.0.1", port, application, threaded=True, request_handler=Handler).serve_forever()
