"""Stands in for memcached, which tempauth does not work without. One process of the proxy only."""

import time


class Cache:
    def __init__(self):
        self.entries = {}

    def get(self, key, *args, **kwargs):
        value, expires = self.entries.get(key, (None, 0))
        if expires and expires < time.time():
            del self.entries[key]
            return None
        return value

    def set(self, key, value, serialize=True, time=0, *args, **kwargs):
        self.entries[key] = (value, expiry(time))

    def incr(self, key, delta=1, time=0, *args, **kwargs):
        value = max(0, int(self.get(key) or 0) + int(delta))
        self.set(key, value, time=time)
        return value

    def decr(self, key, delta=1, time=0, *args, **kwargs):
        return self.incr(key, -delta, time)

    def delete(self, key, *args, **kwargs):
        self.entries.pop(key, None)

    def set_multi(self, mapping, server_key, serialize=True, time=0, *args, **kwargs):
        for key, value in mapping.items():
            self.set(key, value, time=time)

    def get_multi(self, keys, server_key, *args, **kwargs):
        return [self.get(key) for key in keys]


def expiry(seconds):
    return time.time() + seconds if seconds else 0


def filter_factory(global_conf, **conf):
    cache = Cache()

    def make_filter(app):
        def with_cache(env, start_response):
            env["swift.cache"] = cache
            return app(env, start_response)

        return with_cache

    return make_filter
