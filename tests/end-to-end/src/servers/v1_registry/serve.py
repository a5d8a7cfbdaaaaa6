"""PORT: serves docker-registry 0.9.1. One process, so that who kills it has killed all of it; a gunicorn's worker would outlive it."""

import sys

from docker_registry.wsgi import app
from werkzeug.serving import run_simple

run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True)
